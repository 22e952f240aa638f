"""Rules of quality: their counts are those of datatrove, and a document that fails one is left out with its count."""

import dataclasses
import json
from pathlib import Path

import pytest

from ray_ft.config import QualityConfig, parse_config
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record
from ray_ft.data.filters.quality import RULES, Text, broken_rule
from ray_ft.errors import ConfigError
from ray_ft.rows import Document

CASES = json.loads((Path(__file__).parents[3] / "data/quality/datatrove.json").read_text(encoding="utf-8"))
WORDS = "The ferry leaves the quay, and that is why the captain has to be on board with the mate. "


def _read(text: str, language: str = "") -> ReadFile:
    document = Document("1", text, "a", language or "text", language)
    return ReadFile(SourceFile("a", "", len(text)), "ok", document=document)


@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_datatrove(case: dict[str, object]) -> None:
    text, values = Text(str(case["text"])), case["values"]
    assert isinstance(values, dict)
    found = {key: RULES[key].measure(text) for key in values}
    assert found.pop("min_stop_words") >= values["min_stop_words"]  # "The" is one here too
    assert found == pytest.approx({k: v for k, v in values.items() if k != "min_stop_words"}, abs=1e-6)


def test_every_key_has_a_rule_and_every_rule_a_key() -> None:
    assert [f.name for f in dataclasses.fields(QualityConfig)] == list(RULES)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("min_words", "One two.", "2"),
        ("min_mean_word_length", "a b c d " * 30, "1"),
        ("max_mean_word_length", "incomprehensibilities " * 30, "21"),
        ("max_hashes_per_word", "# # # a", "0.75"),  # three of four tokens
        ("max_bullet_lines", "- a\n- b\n* c", "1"),
        ("max_ellipsis_lines", "a...\nb…\nc", "0.6667"),
        ("min_alphabetic_words", "1 2 3 a", "0.25"),
        ("min_stop_words", "Bilge pump ferry quay.", "0"),
        ("max_duplicate_lines", "a\nb\na\na", "0.5"),
        ("max_duplicate_paragraphs", "a\n\na\n\nb", "0.3333"),
        ("max_top_2_grams", "a b " * 9, "0.75"),  # "a b" nine times, 27 of 36 characters
        ("min_ended_lines", "a\nb\nc", "0"),
        ("max_short_lines", "a\nb\nc", "1"),
        ("min_sentences", WORDS, "1"),
    ],
)
def test_a_document_that_fails_is_left_out_with_its_count(key: str, text: str, value: str) -> None:
    rule = RULES[key]
    quality = QualityConfig(**{key: rule.usual})
    read = clean_file(_read(text), Cleaning(quality=quality))
    assert (read.status, read.reason, read.document) == ("skipped", f"quality: {key}", None)
    bound = "at least" if key.startswith("min_") else "at most"
    assert read.note == f"{value}, not {bound} {rule.usual:g}"


def test_a_good_document_passes_all_rules_of_the_papers_and_code_is_not_rated() -> None:
    parts = ("valve", "pump", "rope", "anchor", "mast", "deck", "hull", "keel")
    sentences = [
        f"The {part} of the ferry is shut, and that of quay {i} has to be open." for i, part in enumerate(parts)
    ]
    quality = QualityConfig(**{key: rule.usual for key, rule in RULES.items() if "gram" not in key})
    assert broken_rule("\n".join(sentences), quality) == ("", "")
    assert clean_file(_read("x = 1\n", "python"), Cleaning(quality=quality)).status == "ok"
    assert clean_file(_read("x = 1\n"), Cleaning()).status == "ok"


def test_stop_words_are_those_of_the_documents_language() -> None:
    for text in ("Der Kapitän ist nicht an Bord, und die Fähre wartet.", "Паром стоит на месте, и не идёт, что плохо."):
        assert broken_rule(text, QualityConfig(min_stop_words=2)) == ("", "")


def test_a_line_of_plain_text_is_rated_too_and_a_conversation_is_not() -> None:
    how = Cleaning(quality=QualityConfig(min_words=3))
    assert clean_record(Record("a:1", "a", 1, text="One two."), how).reason == "quality: min_words"
    assert clean_record(Record("a:1", "a", 1), how).reason == ""


def test_an_empty_text_breaks_no_rule_by_an_error() -> None:
    assert all(rule.measure(Text(text)) >= 0 for rule in RULES.values() for text in ("", "\n", "…", "—"))


def test_a_threshold_below_zero_is_refused_by_its_name() -> None:
    base = {"run_name": "a", "model": {"name": "m"}, "data": {"sources": ["a"], "recipes": ["qa"]}}
    with pytest.raises(ConfigError, match=r"data\.quality\.min_words"):
        parse_config(base, ["data.quality.min_words=-1"])


def test_words_and_sentences_of_scripts_without_spaces_are_counted() -> None:
    text = Text("确认阀门已经关闭。按住红色按钮五秒钟。\n等待指示灯变成绿色。\n")
    # 8, 9 and 9 characters, two of them a word
    assert [RULES[key].measure(text) for key in ("min_words", "min_sentences")] == [4 + 5 + 5, 3]
    assert 1 < RULES["min_mean_word_length"].measure(text) <= 2
    thai = Text("ก่อนเริ่มเดินเครื่องให้ตรวจสอบว่าวาล์วปิดอยู่แล้วกดปุ่มสีแดงค้างไว้ห้าวินาที")
    assert 10 < RULES["min_words"].measure(thai) < 30
    assert 3 <= RULES["min_mean_word_length"].measure(thai) <= 10
