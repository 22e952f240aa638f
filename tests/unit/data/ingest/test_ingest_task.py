"""A batch that broke off is gone on with; a file that kills its workers is left out; earlier runs are taken over."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.dedup.heads import text_of
from ray_ft.data.documents import ReadFile
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.ingest import stage as parse_module
from ray_ft.data.ingest.items import Item, batch_name
from ray_ft.data.ingest.manifest import keys_of, list_items
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.stage import KILLER, MAX_STRIKES, ParseJob, find_kept, load, parse_batch
from ray_ft.data.run.journal import Journal, compact, read_journal


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.md").write_text(f"# Page {i}\n\nWords of page {i}, which nobody else has.\n")
    (tmp_path / "lines.jsonl").write_text('{"text": "Plain words."}\n{"prompt": "Why?", "completion": "So."}\n7\n')
    data = DataConfig(sources=(str(folder),), datasets=(DatasetConfig(path=str(tmp_path / "lines.jsonl")),))
    return list_items(data, 64)


def _parse(items: list[Item], folder: Path, run: str = "run") -> dict[str, Any]:
    keyed = list(zip(keys_of(items, {}), items, strict=True))
    row = parse_batch({"work": pickle.dumps(keyed)}, job=ParseJob(str(folder), run))
    result: dict[str, Any] = json.loads(row["result"])
    return result


def _texts(items: list[Item], folder: Path) -> list[list[str]]:
    kept = find_kept(folder, {key: i for i, key in enumerate(keys_of(items, {}))})
    assert len(kept) == len(items)
    return [[text_of(one) for one in load(item, kept[i].ref)] for i, item in enumerate(items)]


def test_every_document_is_kept_with_what_tells_copies(items: list[Item], tmp_path: Path) -> None:
    result = _parse(items, tmp_path / "parsed")
    assert result["states"] == {"ok": 8, "skipped: not an object": 1}
    assert result["num_items"] == 7
    assert _texts(items, tmp_path / "parsed") == [
        *([f"# Page {i}\n\nWords of page {i}, which nobody else has.\n"] for i in range(6)),
        ["Plain words.", "Why?\nSo.", ""],
    ]


def test_a_task_goes_on_behind_the_last_document_of_the_one_that_died(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = parse_module.parse_item
    parsed: list[Item] = []

    def dies_at_the_fourth(item: Item, cleaning: Cleaning, limits: Limits) -> Any:
        parsed.append(item)
        if len(parsed) == 4:
            raise KeyboardInterrupt
        return whole(item, cleaning, limits)

    monkeypatch.setattr(parse_module, "parse_item", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        _parse(items, tmp_path / "parsed")
    _parse(items, tmp_path / "parsed")
    assert len(parsed) == len(items) + 1  # only the one at hand twice
    assert parsed.count(items[3]) == 2
    assert len(_texts(items, tmp_path / "parsed")) == len(items)


@pytest.mark.parametrize(("run", "reason"), [("run", KILLER), ("another", "")])
def test_a_file_at_which_worker_after_worker_dies_in_one_run_is_left_out(
    items: list[Item], tmp_path: Path, run: str, reason: str
) -> None:
    keys = keys_of(items, {})
    for _ in range(MAX_STRIKES):
        with Journal(tmp_path / "parsed", batch_name(list(zip(keys, items, strict=True)))) as journal:
            journal.begin(keys[2], run)
    _parse(items, tmp_path / "parsed")
    kept = find_kept(tmp_path / "parsed", {key: i for i, key in enumerate(keys)})
    (read,) = load(items[2], kept[2].ref)
    assert isinstance(read, ReadFile)
    assert read.reason == reason
    assert kept[2].heads[0].is_usable is not bool(reason)


def test_what_nobody_wants_any_more_gives_its_space_back(items: list[Item], tmp_path: Path) -> None:
    folder = tmp_path / "parsed"
    _parse(items[:2], folder)
    _parse(items[2:], folder)
    keys = keys_of(items, {})
    compact(folder, set(keys))
    assert len(list(folder.iterdir())) == 2
    compact(folder, {keys[1], keys[2]})  # half of the first journal stays, and less of the second is written anew
    compact(folder, {keys[2]})
    assert [e.key for path in folder.iterdir() for e in read_journal(path) if e.ref] == [keys[2]]
    assert load(items[2], find_kept(folder, {keys[2]: 0})[0].ref) != []


def test_a_pattern_that_fails_on_a_text_costs_that_file(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(read: ReadFile, how: Cleaning) -> ReadFile:
        if read.file.path.endswith("2.md"):
            raise IndexError("odd text")
        return read

    monkeypatch.setattr(parse_module, "clean_file", fails)
    states = _parse(items, tmp_path / "parsed")["states"]
    assert states["quarantined: cleaning failed: IndexError"] == 1
    assert states["ok"] == 7
