"""A leak that is planted, wherever it is, is found; a clean set has none."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ray_ft.data.dedup.leakage import find_leaks
from ray_ft.data.schemas import COLUMNS, DOCUMENTS, EXAMPLES, PASSAGES, write_part

EMPTY: dict[str, Any] = {"str": "", "int": 0, "strings": [], "pairs": [], "messages": []}


def _row(table: str, **values: Any) -> dict[str, Any]:
    return {**{name: EMPTY.get(kind) for name, kind in COLUMNS[table].items()}, **values}


def _text(seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"word{draw.randrange(10_000)}" for _ in range(200))


def _document(name: str, split: str, text: str, cluster: str) -> dict[str, Any]:
    return _row(DOCUMENTS, id=f"id:{name}", path=name, split=split, status="ok", cluster=cluster, text=text)


def _write(folder: Path, **changes: list[Any]) -> Path:
    """A set of four documents in two splits, and whatever a test plants."""
    documents = [_document(f"{i}.md", "test" if i == 3 else "train", _text(i), f"c{i}") for i in range(4)]
    documents.append(_row(DOCUMENTS, id="id:copy.md", path="copy.md", status="skipped", reason="copy", cluster="c3"))
    examples = [_row(EXAMPLES, document_id=d["id"], split=d["split"]) for d in documents[:4]]
    passages = [_row(PASSAGES, document_id=d["id"], split=d["split"]) for d in documents[:4]]
    rows = {
        "train": [["id:0.md#paragraph-0", "id:1.md#heading-2"], ["id:2.md#paragraph-0"]],
        "test": [["id:3.md#qa-1"]],
    }
    write_part(folder, DOCUMENTS, 0, documents)
    write_part(folder, DOCUMENTS, 1, changes.get("documents", []))
    write_part(folder, EXAMPLES, 0, examples + changes.get("examples", []))
    write_part(folder, PASSAGES, 0, passages + changes.get("passages", []))
    (folder / "shards").mkdir()
    for split, lines in rows.items():
        lines = lines + changes.get(split, [])
        (folder / "shards" / f"{split}-00000-00.chunks.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return folder


def test_a_clean_set_has_no_leak(tmp_path: Path) -> None:
    assert find_leaks(_write(tmp_path / "set"), thorough=True) == []


@pytest.mark.parametrize(
    ("planted", "leak"),
    [
        (
            {"documents": [_document("0.md", "test", _text(9), "c9")]},
            "document id:0.md is in train and in test",
        ),
        (
            {"documents": [_document("9.md", "test", _text(9), "c1")]},
            "duplicates of 9.md are in train and in test",
        ),
        (
            {"examples": [_row(EXAMPLES, document_id="id:3.md", split="train")]},
            "examples.parquet: id:3.md is in train, its document in test",
        ),
        (
            {"passages": [_row(PASSAGES, document_id="id:2.md", split="test")]},
            "passages.parquet: id:2.md is in test, its document in train",
        ),
        (
            {"train": [["id:1.md#paragraph-1", "id:3.md#paragraph-0"]]},
            "train-00000-00.chunks.jsonl: row 2 holds id:3.md#paragraph-0, whose document is in test",
        ),
        (
            {"train": [["id:7.md#paragraph-1"]]},
            "train-00000-00.chunks.jsonl: row 2 holds id:7.md#paragraph-1, which belongs to no document",
        ),
    ],
)
def test_a_planted_leak_is_named(tmp_path: Path, planted: dict[str, list[Any]], leak: str) -> None:
    assert leak in find_leaks(_write(tmp_path / "set", **planted))


def test_a_near_copy_that_was_placed_apart_is_found_from_its_text(tmp_path: Path) -> None:
    words = _text(3).split()
    words[50] = "another"
    planted = [_document("near.md", "train", " ".join(words), "c9"), _document("equal.md", "test", _text(0), "c8")]
    path = _write(tmp_path / "set", documents=planted)
    assert find_leaks(path) == []
    assert find_leaks(path, thorough=True) == [
        "equal.md in test is a duplicate of 0.md in train",
        "near.md in train is near to 3.md in test",
    ]
