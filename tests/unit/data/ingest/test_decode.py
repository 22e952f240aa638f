"""Encodings: what is text, and as which."""

import pytest

from ray_ft.data.ingest.reading import decode

GERMAN = "Die Fähre fährt über die Straße. Größe und Übertragung prüfen wir täglich. " * 4


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (GERMAN.encode(), "utf-8"),
        (b"\xef\xbb\xbf" + GERMAN.encode(), "utf-8-sig"),
        (GERMAN.encode("utf-16"), "utf-16"),
        (GERMAN.encode("utf-32"), "utf-32"),
        (GERMAN.encode("cp1252"), "cp1252"),
        (GERMAN.encode("latin-1"), "cp1252"),
    ],
)
def test_common_encodings_give_the_text_and_are_named(data: bytes, encoding: str) -> None:
    decoded = decode(data)
    assert (decoded.text, decoded.encoding, decoded.reason) == (GERMAN, encoding, "")


def test_other_alphabets_are_guessed() -> None:
    text = "Паром отправляется каждые сорок минут из северной гавани. Проверьте датчики. " * 4
    assert decode(text.encode("cp1251")).text == text


def test_windows_and_old_mac_line_ends_become_newlines() -> None:
    assert decode(b"a\r\nb\rc").text == "a\nb\nc"


def test_a_mark_followed_by_half_a_character_is_no_text() -> None:
    assert decode(b"\xff\xfea\x00b").reason == "invalid encoding"


def test_random_bytes_never_raise() -> None:
    import random

    rng = random.Random(0)
    for _ in range(100):
        decoded = decode(rng.randbytes(300))
        assert decoded.reason or decoded.encoding
