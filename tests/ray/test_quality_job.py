"""A job with rules of quality and common lines, end to end: what is left out is accounted for, and inspected."""

import logging
from pathlib import Path
from typing import Any

import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig, QualityConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.data.report.inspection import inspect_training_set
from ray_ft.data.report.inspection_text import render
from ray_ft.recipes import CodeRaw, Paragraph

pytestmark = pytest.mark.ray

FOOT = "Report a bug on this page."
WORDS = ("valve", "pump", "ferry", "quay", "rope", "anchor", "mast", "deck", "hull", "keel", "bow", "stern")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pages with one foot, two of a few words, one of one line again and again, and code."""
    root = tmp_path_factory.mktemp("corpus") / "wiki"
    root.mkdir()
    for i in range(12):
        words = " ".join(f"{WORDS[(i * 7 + k * k) % 12]} {i * 100 + k}" for k in range(60))
        (root / f"page_{i}.md").write_text(f"# Page {i}\n\nWhat is told of it: {words} is all.\n\n{FOOT}\n")
    for i in range(2):
        (root / f"short_{i}.md").write_text(f"# Short {i}\n\nTo be written: {WORDS[i]}.\n")
    (root / "again.txt").write_text("The ferry leaves the quay with the mate on board of it.\n" * 40)
    (root / "tiny.py").write_text("x = 1\n")
    return root


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def made(
    ray_cluster: None, sources: Path, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory, told: list[str]
) -> TrainingSet:
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ray_ft")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return prepare_training_set(
            DataConfig(
                sources=(str(sources),),
                recipes=(Paragraph(), CodeRaw()),
                quality=QualityConfig(min_words=10, max_duplicate_line_characters=0.2),
                common_lines=10,
                validation_fraction=0.0,
                test_fraction=0.0,
            ),
            model=ModelConfig(name="builtin:tiny", max_seq_len=512),
            model_path=tiny_model_path,
            output_path=str(tmp_path_factory.mktemp("run") / "data"),
            seed=0,
            inputs_digest="fingerprint",
        )
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _rows(made: TrainingSet, table: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(Path(made.path) / table).to_pylist()
    return rows


def test_documents_are_left_out_by_rule_and_count(made: TrainingSet) -> None:
    assert made.files == {
        "ok": 13,  # the pages and the code
        "skipped: quality: min_words": 2,
        "skipped: quality: max_duplicate_line_characters": 1,
    }
    notes = {Path(row["path"]).name: row["note"] for row in _rows(made, "documents.parquet")}
    assert notes["short_0.md"] == "6 words, not at least 10".replace(" words", "")  # Short 0 To be written valve
    assert notes["again.txt"].endswith("not at most 0.2")


def test_common_lines_are_left_to_one_page_and_counted(made: TrainingSet, told: list[str]) -> None:
    pages = [row for row in _rows(made, "documents.parquet") if "page_" in row["path"]]
    assert sum(FOOT in row["text"] for row in pages) == 1
    assert sum(row["note"] == "1 common lines left out" for row in pages) == 11
    assert sum(FOOT in row["text"] for row in _rows(made, "passages.parquet")) == 1
    assert "left out 11 short lines at the head or foot of 11 documents, each of which another document keeps" in told


def test_inspection_shows_each_rules_spread_and_what_it_left_out(made: TrainingSet) -> None:
    about = inspect_training_set(made, num_examples=0, dropped=False, seed=0)
    assert about.num_rated == 12  # code is not
    rules = {one.key: one for one in about.quality}
    assert (rules["min_words"].num_dropped, rules["max_duplicate_line_characters"].num_dropped) == (2, 1)
    assert rules["min_words"].usual_share == 0  # each page has some 130 words
    assert rules["min_words"].quantiles[3] == pytest.approx(130, abs=6)
    assert rules["min_sentences"].usual_share == 1  # one sentence each, C4 asks for five
    text = render(about)
    assert "quality of 12 documents" in text
    assert "min_sentences" in text
    assert "100.0% at 5 (C4)" in text
    assert "0.0% at 50 (Gopher), 2 dropped" in text
