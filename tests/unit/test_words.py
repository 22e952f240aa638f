"""Words in every script, by hand: marks belong to them, symbols that tell things apart are kept."""

import time

import pytest

from ray_ft.words import is_number, pieces, split


@pytest.mark.parametrize(
    ("one", "other"),
    [("लड़का", "लड़की"), ("करना", "करनी"), ("पानी", "पान"), ("ஆண்", "ஆணி"), ("বাড়ি", "বাড়া"), ("ก่า", "กา"),
     ("ที่", "ที"),
     ("C++", "C#"), ("C++", "C"), ("F#", "F"), ("a != b", "a == b"), ("a <= b", "a >= b"), ("a < b", "a > b"),
     ("a ≠ b", "a = b"), ("x -> y", "y -> x"), ("-5", "5"), ("−5 °C", "5 °C"), ("5%", "5"), ("€5", "$5"),
     ("10²", "102"),
     ("1½", "11/2"), ("v1.2.3", "v1.2.4"), ("café", "cafe"), ("max_seq_len", "max seq len")],
)  # fmt: skip
def test_what_differs_is_told_apart(one: str, other: str) -> None:
    assert split(one) != split(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1,000", "1000"), ("1'000", "1000"), ("1\u202f000", "1000"), ("1_000", "1000"), ("1.000.000", "1000000"),
     ("1,00,000", "100000"), ("1.234,5", "1,234.5"), ("3,5", "3.50"), ("2e-4", "0.0002"), ("−5", "-5"),
     ("a ≤ b", "a <= b"),
     ("50 %", "50 percent"), ("$1,204", "1204 $"), ("١٢٣٫٥", "123.5"), ("१२३", "123"), ("ＡＢＣ", "abc"),
     ("Straße", "STRASSE"),
     ("تُغَادِرُ العَبَّارَةُ", "تغادر العبارة"), ("שָׁלוֹם", "שלום"), ("می‌خواهم", "میخواهم"),
     ("İstanbul", "istanbul"),
     ("Cafe\u0301", "café"), ("don’t", "don't"), ("Alice’s", "Alice"), ("**bold** _very_ `x`", "bold very x")],
)  # fmt: skip
def test_spellings_of_one_thing_are_equal(one: str, other: str) -> None:
    assert split(one) == split(other)


@pytest.mark.parametrize(
    ("text", "words"),
    [("The ferry, at 10:30!", ["the", "ferry", "at", "10", "30"]), ("l'eau d'accord", ["l'", "eau", "d'", "accord"]),
     ("模型训练 abc", ["模", "型", "训", "练", "abc"]), ("サーバー", ["サ", "ー", "バ", "ー"]),
     ("나루터는 섬", ["나루터는", "섬"]), ("3-5, 2024-01-31", ["3", "5", "2024", "01", "31"]),
     ("1,2,3", ["1", "2", "3"]),
     ("GPT-4 x86_64 30s", ["gpt", "4", "x86_64", "30", "s"]), ("192.168.1.100", ["192.168.1.100"]),
     ("- 5 items", ["5", "items"]),
     ("| a | b |", ["a", "b"]), ("", []), ("?!", [])],
)  # fmt: skip
def test_words_by_hand(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_marks_stay_with_their_character_and_runs_are_known() -> None:
    found = list(pieces("ที่นี่ ทะเล"))
    assert [piece.word for piece in found] == ["ที่", "นี่", "ท", "ะ", "เ", "ล"]
    assert [piece.joins for piece in found] == [False, True, False, True, True, True]


def test_numbers_are_known_as_such() -> None:
    assert [is_number(word) for word in split("-5 1,204.5 x5 % 0x1f")] == [True, True, False, False, True]


@pytest.mark.parametrize("text", ["-", " ", "'", "1,", "<", "1.5e", "a'", "\n>", "模", "1_"])
def test_time_grows_with_the_text_alone(text: str) -> None:
    split(text)
    started = time.process_time()
    split(text * 20_000 + "x")
    assert time.process_time() - started < 2
