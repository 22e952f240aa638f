"""A batch that broke off is gone on with; a file that kills its workers is left out; earlier runs are taken over."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keyed_items import hashed

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.dedup.heads import text_of
from ray_ft.data.documents import ReadFile
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.ingest import stage as parse_module
from ray_ft.data.ingest.items import Item, Todo, batch_name
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.manifest import list_items
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.stage import KILLER, MAX_STRIKES, ParseJob, load, parse_batch
from ray_ft.data.run.journal import Journal, read_journal
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.segments import compact
from ray_ft.data.run.typed import dump
from ray_ft.data.run.typed import load as load_typed
from ray_ft.errors import DataError


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.md").write_text(f"# Page {i}\n\nWords of page {i}, which nobody else has.\n")
    (tmp_path / "lines.jsonl").write_text('{"text": "Plain words."}\n{"prompt": "Why?", "completion": "So."}\n7\n')
    data = DataConfig(sources=(str(folder),), datasets=(DatasetConfig(path=str(tmp_path / "lines.jsonl")),))
    return list(list_items(data, 64))


def _keys(items: list[Item]) -> list[bytes]:
    return [todo.key for todo in hashed(items, "how")]


def _parse(items: list[Item], folder: Path, run: str = "run") -> dict[str, Any]:
    row = parse_batch({"work": dump(hashed(items, "how"))}, job=ParseJob(str(folder), run, how="how"))
    result: dict[str, Any] = json.loads(row["result"])
    return result


def _texts(items: list[Item], folder: Path) -> list[list[str]]:
    kept = find_kept(folder, Keys.of(_keys(items)))
    assert len(kept) == len(items)
    return [[text_of(one) for one in load(item, kept.ref(i))] for i, item in enumerate(items)]


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
    keys = _keys(items)
    for _ in range(MAX_STRIKES):
        with Journal(tmp_path / "parsed", batch_name(hashed(items, "how"))) as journal:
            journal.begin(keys[2], run)
    _parse(items, tmp_path / "parsed")
    kept = find_kept(tmp_path / "parsed", Keys.of(keys))
    (read,) = load(items[2], kept.ref(2))
    assert isinstance(read, ReadFile)
    assert read.reason == reason
    assert kept.heads(2)[0].is_usable is not bool(reason)


def test_what_nobody_wants_any_more_gives_its_space_back(items: list[Item], tmp_path: Path) -> None:
    folder = tmp_path / "parsed"
    _parse(items[:2], folder)
    _parse(items[2:], folder)
    keys = _keys(items)
    compact(folder, Keys.of(keys))
    assert len(list(folder.iterdir())) == 2
    compact(
        folder, Keys.of([keys[1], keys[2]])
    )  # half of the first journal stays, and less of the second is written anew
    compact(folder, Keys.of([keys[2]]))
    assert [e.key for path in folder.iterdir() for e in read_journal(path) if e.ref] == [keys[2]]
    assert load(items[2], find_kept(folder, Keys.of([keys[2]])).ref(0)) != []


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


@pytest.mark.parametrize("meanwhile", ["changed", "gone"])
def test_a_file_that_changes_before_it_is_read_is_not_taken_for_what_was_listed(
    items: list[Item], tmp_path: Path, meanwhile: str
) -> None:
    folder, page = tmp_path / "parsed", tmp_path / "docs" / "2.md"
    listed, before = hashed(items, "how"), page.read_text()
    page.unlink()
    if meanwhile == "changed":
        page.write_text("# Page 2\n\nWhat stands here for a moment only.\n")
    result = json.loads(parse_batch({"work": dump(listed)}, job=ParseJob(str(folder), "run", how="how"))["result"])
    ((place, as_read, _, num_bytes, has_moved),) = result["found"]
    assert (place, has_moved) == (2, True)
    page.write_text(before)
    kept = find_kept(folder, Keys.of(todo.key for todo in listed))
    assert np.flatnonzero(kept.is_there).tolist() == [
        0,
        1,
        3,
        4,
        5,
        6,
    ]  # what was read is none of what was listed, nor of what is there again
    (read,) = load(items[2], find_kept(folder, Keys.of([bytes.fromhex(as_read)])).ref(0))
    assert isinstance(read, ReadFile)
    if meanwhile == "changed":
        assert "for a moment" in text_of(read)
        assert (read.status, num_bytes, read.file.num_bytes) == ("ok", 46, 46)
    else:
        assert (read.status, read.reason) == ("skipped", "unreadable: No such file or directory")


def test_a_dataset_that_changes_before_it_is_read_ends_the_task_in_one_line(items: list[Item], tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    listed, before = hashed(items, "how"), lines.read_text()
    row, job = {"work": dump(listed)}, ParseJob(str(tmp_path / "parsed"), "run", how="how")
    lines.write_text(before.replace("Plain", "Other"))
    error = json.loads(parse_batch(row, job=job)["result"])["error"]
    assert error == f"data.datasets: {lines.name} changed while it was read; run prepare again"
    lines.write_text(before)  # touched, but what was listed
    assert json.loads(parse_batch(row, job=job)["result"])["error"] == ""
    with pytest.raises(DataError, match="changed while it was listed"):
        hashed(items, "how")  # slices are cut from what was there before


def test_a_run_counts_a_file_as_it_was_read_and_the_next_one_as_it_is_then(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "docs" / "2.md"
    before, num_read = page.read_text(), []

    def tasks(
        rows: Iterable[dict[str, Any]], function: Any, job: ParseJob, *, folder: Path, retries: int
    ) -> Iterator[str]:
        """Ray's part; the file changes once all is listed."""
        page.write_text(before if num_read else "# Page 2\n\nFor a moment.\n")
        for row in rows:
            num_read.append(len(load_typed(list[Todo], row["work"])))
            yield function(row, job=job)["result"]

    monkeypatch.setattr(parse_module, "run_tasks", tasks)
    monkeypatch.setattr(parse_module, "num_cpus", lambda: 1)
    data = DataConfig(sources=(str(tmp_path / "docs"),))
    first = parse_module.read_items(items, data, tmp_path, retry_quarantined=False)
    assert first.changed == ("docs/2.md",)
    assert first.text(2, 0) == "# Page 2\n\nFor a moment.\n"
    assert next(islice(first.heads(), 2, None))[0].size == 24
    page.write_text(before)
    again = parse_module.read_items(items, data, tmp_path, retry_quarantined=False)
    assert (again.changed, again.text(2, 0)) == ((), before)
    assert num_read == [len(items), 1]
    assert [i for i, (a, b) in enumerate(zip(first.items.keys, again.items.keys, strict=True)) if a != b] == [2]
