"""Groups and keys change where files change, and nowhere else."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keyed_items import hashed

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest import items as items_module
from ray_ft.data.ingest.items import BATCH_BYTES, BATCH_FILES, Item, Todo, batches, size_of
from ray_ft.data.ingest.listed import Listed
from ray_ft.data.ingest.manifest import (
    MAX_GROUP_FILES,
    group_bytes,
    group_items,
    list_items,
)
from ray_ft.data.run.digests import digest_of, parse_digest


def _files(sizes: list[int], prefix: str = "docs/page") -> list[Item]:
    return [SourceFile(f"{prefix}_{i:05d}.md", f"/{i}", size) for i, size in enumerate(sizes)]


def _groups(items: list[Item]) -> list[list[Item]]:
    with tempfile.TemporaryDirectory() as folder:
        listed = Listed.of((Todo(b"k" * 32, item) for item in items), Path(folder))
        return [[items[i] for i in group] for group in group_items(listed, 64)]


def _batches(todo: Sequence[Todo], num_cpus: int = 1) -> list[list[Todo]]:
    sizes = np.array([size_of(one.item) for one in todo])
    return [[todo[i] for i in batch] for batch in batches(sizes, num_cpus)]


def test_groups_are_neighbours_within_the_budget_and_hold_every_item_once() -> None:
    items = _files([(37 * i) % 200_000 for i in range(800)])
    groups = _groups(items)
    assert [item for group in groups for item in group] == items
    budget = group_bytes(64)  # 512 KiB at 64 tokens a row
    assert all(sum(map(size_of, group)) <= budget for group in groups if len(group) > 1)
    mean = sum(map(size_of, items)) / len(groups) / budget
    assert 0.3 < mean < 0.9  # half full, about


def test_small_files_are_bounded_by_number_and_large_ones_are_groups_alone() -> None:
    assert max(map(len, _groups(_files([1] * 5000)))) <= MAX_GROUP_FILES
    assert [len(group) for group in _groups(_files([2**20] * 3))] == [1, 1, 1]


def test_unread_files_weigh_nothing() -> None:
    items = [SourceFile("a", "/a", 2**30, "larger than data.max_file_bytes"), SourceFile("b", "/b", 10)]
    assert [len(group) for group in _groups(list(items))] == [2]


def test_a_file_that_comes_changes_only_the_groups_around_it() -> None:
    items = _files([5000 + (997 * i) % 9000 for i in range(3000)])
    before = {tuple(group) for group in _groups(items)}
    new = SourceFile("docs/page_01500b.md", "/new", 7000)
    after = {tuple(group) for group in _groups(sorted([*items, new], key=lambda item: item.path))}  # type: ignore[union-attr]
    assert len(before) > 40
    assert len(after - before) <= 3


def _keys(items: list[Item], settings: object) -> list[bytes]:
    return [todo.key for todo in hashed(items, parse_digest(settings))]


def test_a_key_tells_content_name_and_settings(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("Equal words.\n")
    items = list(list_items(DataConfig(sources=(str(tmp_path),)), 64))
    keys = _keys(items, {"clean": 1})
    assert len(set(keys)) == 2
    assert _keys(items, {"clean": 1}) == keys
    assert not set(_keys(items, {"clean": 2})) & set(keys)
    (tmp_path / "a.md").write_text("Other words.\n")  # as long as before
    changed = _keys(list(list_items(DataConfig(sources=(str(tmp_path),)), 64)), {"clean": 1})
    assert [new == old for new, old in zip(changed, keys, strict=True)] == [False, True]


def test_batches_are_neighbours_and_hold_every_item_once_the_largest_first() -> None:
    items = _files([(7919 * i) % 400_000 for i in range(700)] + [3 * BATCH_BYTES] + [400_000] * 300)
    todo = [Todo(i.to_bytes(8, "big") * 4, item) for i, item in enumerate(items)]
    made = _batches(todo)
    assert [one for batch in sorted(made, key=lambda batch: batch[0].key) for one in batch] == todo
    num_bytes = [sum(size_of(one.item) for one in batch) for batch in made]
    assert num_bytes == sorted(num_bytes, reverse=True)
    assert made[0] == [todo[700]]
    assert all(len(batch) <= BATCH_FILES for batch in made)
    assert max(num_bytes[1:]) <= BATCH_BYTES


def test_there_are_no_more_batches_than_journals_that_a_folder_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items_module, "MAX_BATCHES", 10)
    assert len(_batches([Todo(b"k" * 32, item) for item in _files([10] * 100_000)])) <= 65  # and not 390
    assert len([*batches(np.full(1000, BATCH_BYTES))]) <= 67  # and not 1000
    assert [*batches(np.array([], dtype=np.int64))] == []


def test_more_processors_get_more_batches_until_these_are_too_small_for_a_task() -> None:
    todo = [Todo(i.to_bytes(8, "big") * 4, item) for i, item in enumerate(_files([100_000] * 4000))]
    # 400 MB in 64 batches are 62 files in each; in 8 for each of 64 processors 7; and two fit into the least 256 KiB.
    assert len(_batches(todo, 1)) == len(_batches(todo, 4)) == -(-4000 // 62)
    assert len(_batches(todo, 64)) == -(-4000 // 7)
    assert len(_batches(todo[:64], 64)) == 32


def test_digests_take_dataclasses_and_tell_values_apart() -> None:
    file = SourceFile("a", "/a", 1)
    assert digest_of([file]) == digest_of([replace(file)])
    assert digest_of([file]) != digest_of([replace(file, num_bytes=2)])
