"""What a training set is shown to hold, and how it is handed to others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.data.report.export import export_training_set
from ray_ft.data.report.inspection import inspect_training_set
from ray_ft.data.report.inspection_text import render
from ray_ft.data.schemas import COLUMNS, DOCUMENTS, EXAMPLES, example_row, write_part
from ray_ft.errors import ConfigError, DataError
from ray_ft.rows import Example, Message

TEXT = "# Ferry\n\nIt leaves every 40 minutes.\nIt carries 120 cars.\n"
PASSAGE = (9, len(TEXT) - 1)  # "# Ferry" and two line ends are 9 characters


@pytest.fixture
def made(tmp_path: Path) -> TrainingSet:
    """Two documents; six examples, two of which are left out and one of which an epoch shows twice."""
    folder = tmp_path / "data"
    documents = [{c: 0 if k == "int" else "" for c, k in COLUMNS[DOCUMENTS].items()} for _ in range(2)]
    documents[0] |= {"id": "0:a.md", "path": "a.md", "text": TEXT}
    documents[1] |= {"id": "0:b.md", "path": "b.md", "text": "Only words."}
    pair = Example("How often?", "every 40 minutes", "0:a.md#qa-0", "0:a.md", "qa", "generated", evidence="every 40")
    words = Example("", "Only words.", "0:b.md#paragraph-0", "0:b.md", "paragraph")
    turns = (Message("user", "Hi"), Message("assistant", "Ho", trained=True))
    chat = Example("Hi", "Ho", "c.jsonl:1", "0:c.jsonl:1", "messages", messages=turns)
    rows = [
        example_row(pair, split="train", num_tokens=40, repeats=2, span=PASSAGE),
        example_row(replace(pair, dropped="asked before"), split="train", num_tokens=0, repeats=0, span=PASSAGE),
        example_row(replace(pair, dropped="empty answer"), split="test", num_tokens=0, repeats=0, span=PASSAGE),
        example_row(words, split="test", num_tokens=3, repeats=1, span=(0, 11)),
        example_row(chat, split="validation", num_tokens=9000, repeats=1),
        example_row(chat, split="train", num_tokens=31, repeats=1),
    ]
    write_part(folder, DOCUMENTS, 0, documents)
    write_part(folder, EXAMPLES, 0, rows[:3])
    write_part(folder, EXAMPLES, 1, rows[3:])
    counts = {"train": 3, "validation": 1, "test": 1}
    files = {"ok": 2, "skipped: empty": 1}
    return TrainingSet(
        str(folder), ("qa",), counts, counts, counts, counts, counts, 0, files, 64, "t0", "c0", "d0", "f0"
    )


def test_counts_are_by_recipe_split_and_reason(made: TrainingSet) -> None:
    about = inspect_training_set(made, num_examples=0, dropped=False, seed=0)
    assert about.examples == {"messages": {"validation": 1, "train": 1}, "paragraph": {"test": 1}, "qa": {"train": 2}}
    assert about.dropped == {"qa": {"asked before": 1, "empty answer": 1}}
    assert about.kept_rates == {"qa": 0.3333}  # one of three
    # 40 tokens twice are in 32-63, 3 and 31 below 32, 9000 above 8192.
    assert {low: n for low, n in about.token_histogram.items() if n} == {"0": 2, "32": 2, "8192": 1}
    assert about.samples == ()


def test_files_and_lines_of_datasets_that_ended_alike_are_counted_together(made: TrainingSet) -> None:
    both = replace(made, files={"ok": 19, "skipped: empty": 1}, records={"ok": 60, "skipped: no text": 2})
    files = inspect_training_set(both, num_examples=0, dropped=False, seed=0).files
    assert files == {"ok": 79, "skipped: no text": 2, "skipped: empty": 1}


def test_what_stands_in_two_splits_is_shown(made: TrainingSet) -> None:
    clean = inspect_training_set(made, num_examples=0, dropped=False, seed=0)
    assert "no text of one stands in another" in render(clean)
    row: dict[str, Any] = {c: 0 if k == "int" else "" for c, k in COLUMNS[DOCUMENTS].items()} | {"status": "ok"}
    copies = [{**row, "id": f"1:{s}", "path": s, "split": s, "text": TEXT} for s in ("train", "test")]
    write_part(Path(made.path), DOCUMENTS, 1, copies)
    about = inspect_training_set(made, num_examples=0, dropped=False, seed=0)
    assert about.leaks == ("test in test is a duplicate of train in train",)
    assert "1 LEAKS\n  test in test is a duplicate of train in train" in render(about)


def test_drawn_examples_stand_beside_their_passage(made: TrainingSet) -> None:
    samples = {s.recipe: s for s in inspect_training_set(made, num_examples=9, dropped=False, seed=0).samples}
    assert len(samples) == 3
    assert samples["qa"].passage == "It leaves every 40 minutes.\nIt carries 120 cars."
    assert (samples["qa"].path, samples["qa"].line, samples["qa"].evidence) == ("a.md", 3, "every 40")
    assert (samples["messages"].passage, samples["messages"].line) == ("", 0)
    drawn = [inspect_training_set(made, num_examples=2, dropped=False, seed=s).samples for s in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_examples_that_were_left_out_are_shown_with_their_reason(made: TrainingSet) -> None:
    about = inspect_training_set(made, num_examples=9, dropped=True, seed=0)
    assert sorted(s.dropped for s in about.samples) == ["asked before", "empty answer"]
    text = render(about)
    assert "left out: asked before (generated) from a.md:3" in text
    # Columns of 12 after a name of 16: two trained, none held out, two left out.
    assert f"{'qa':<16}{2:>12}{0:>12}{0:>12}{2:>12}  kept 33.3% of what was generated" in text
    assert f"{'8192+':<12}{1:>10}  {20 * '#'}" in text  # half as many as the longest bar of 40


def test_where_nothing_was_left_out_that_is_said(made: TrainingSet) -> None:
    about = inspect_training_set(made, num_examples=9, dropped=True, seed=0)
    none = replace(about, dropped={}, samples=())
    assert render(none, of_dropped=True).endswith("\n\nno example was left out")
    assert "no example was left out" not in render(none) + render(about, of_dropped=True)


def test_the_set_can_be_opened_by_datasets_and_read_as_messages(made: TrainingSet, tmp_path: Path) -> None:
    from datasets import load_dataset

    about = inspect_training_set(made, num_examples=0, dropped=False, seed=0)
    facts: dict[str, Any] = {"name": "ferry: 1", "version": "0", "model": "m", "sources": ["docs"], "seed": 0}
    facts |= {"generator": None}
    folder = export_training_set(made, about, tmp_path / "shared", facts=facts)
    loaded = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 2, "validation": 1, "test": 1}
    assert loaded["train"][0]["prompt"] == "How often?"
    chats = load_dataset(str(folder / "messages"), cache_dir=str(tmp_path / "cache"))
    assert chats["test"][0]["messages"] == [{"role": "assistant", "content": "Only words."}]
    lines = [json.loads(line) for line in (folder / "messages" / "train.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "messages": [{"role": "user", "content": "How often?"}, {"role": "assistant", "content": "every 40 minutes"}],
        "recipe": "qa",
        "source": "0:a.md",
    }
    card = (folder / "README.md").read_text()
    assert "| qa | asked before | 1 |" in card
    assert "| qa | 2 | 0 | 0 | 33.3% |" in card
    with pytest.raises(ConfigError, match="is not an empty folder"):
        export_training_set(made, about, folder, facts=facts)


def test_a_set_whose_tables_are_gone_is_named(made: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/examples\.parquet cannot be read"):
        inspect_training_set(replace(made, path=str(tmp_path / "nowhere")), num_examples=1, dropped=False, seed=0)


def test_a_set_of_an_older_version_is_told_apart(made: TrainingSet) -> None:
    import pyarrow.parquet as pq

    for part in (Path(made.path) / EXAMPLES).glob("*.parquet"):
        pq.write_table(pq.read_table(part).drop_columns(["evidence", "start"]), part)
    with pytest.raises(DataError, match="is from an older version, without evidence, start; run `ray-ft prepare"):
        inspect_training_set(made, num_examples=1, dropped=False, seed=0)
