"""What lies in files instead of memory is read as it was written, and keys are found without a dictionary."""

import random
from pathlib import Path
from typing import Any, cast

import pytest

from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.datasets import DatasetFile, Origin, Slice
from ray_ft.data.ingest.items import Item, Todo
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.listed import Listed
from ray_ft.data.run.journal import Journal
from ray_ft.data.run.keys import KEY_BYTES, Keys
from ray_ft.data.run.spilled import Spilled
from ray_ft.data.run.tasks import MAX_TASKS, in_tasks, with_work, written

LINES = DatasetFile("d/a.jsonl", "/d/a.jsonl", "lines", Origin("d", "d", "text", None, 1.0), ())


def test_values_are_read_between_writes_and_in_any_order(tmp_path: Path) -> None:
    items = [SourceFile(f"docs/{i}.md", f"/docs/{i}\udcff.md", i) for i in range(50)]
    slices = [Slice(LINES, i, i + 1, i) for i in range(3)]
    kept: Spilled[Item] = Spilled(cast(Any, Item), tmp_path / "below" / "items")
    for number, item in enumerate([*items, *slices]):
        kept.append(item)
        assert kept[number // 2] == [*items, *slices][number // 2]
    assert list(kept) == [*items, *slices]
    with pytest.raises(IndexError):
        kept[len(kept)]
    kept.close()
    assert list((tmp_path / "below").iterdir()) == []


def test_keys_are_found_as_a_dictionary_finds_them_also_those_that_begin_alike() -> None:
    draw = random.Random(0)
    alike = [bytes(8) + draw.randbytes(KEY_BYTES - 8) for _ in range(40)]
    every = [*alike, *(draw.randbytes(KEY_BYTES) for _ in range(500))]
    draw.shuffle(every)
    keys = Keys.of(every)
    absent = [bytes(8) + b"x" * 24, draw.randbytes(KEY_BYTES), bytes(KEY_BYTES), b"\xff" * KEY_BYTES]
    assert keys.numbers_of(every) == list(range(len(every)))
    assert keys.numbers_of(absent) == [-1] * 4
    keys.replace(7, absent[0])
    assert keys.numbers_of([absent[0], every[7]]) == [7, -1]
    assert list(keys)[7] == absent[0]
    assert Keys().numbers_of(absent) == [-1] * 4


def test_a_list_of_items_tells_what_groups_and_batches_ask_for(tmp_path: Path) -> None:
    files = [SourceFile("a.md", "/a", 5), SourceFile("b.png", "/b", 7, "unknown format")]
    todo = [Todo(bytes([i]) * KEY_BYTES, item, "c") for i, item in enumerate([*files, Slice(LINES, 0, 9, 1)])]
    listed = Listed.of(todo, tmp_path)
    assert listed.sizes.tolist() == [5, 7, 9]
    assert (listed.is_read.tolist(), listed.is_slice.tolist()) == ([True, False, True], [False, False, True])
    assert [listed.todo(i) for i in range(3)] == todo
    listed.was_read_as(0, b"n" * KEY_BYTES, "e" * 64, 6, has_moved=True)
    assert (listed[0].num_bytes, listed.sizes[0], listed.keys[0]) == (6, 6, b"n" * KEY_BYTES)
    assert listed.todo(0) == Todo(b"n" * KEY_BYTES, files[0], "e" * 64)
    assert list(listed.files()) == [(listed[0], "e" * 64, False)]


def test_what_is_kept_is_found_in_all_journals_and_the_first_of_two_counts(tmp_path: Path) -> None:
    keys = Keys.of(bytes([i]) * KEY_BYTES for i in range(4))
    for name, held in (("a", (0, 2)), ("b", (2, 3))):
        with Journal(tmp_path, name) as journal:
            for i in held:
                journal.begin(keys[i], "run")
                journal.done(keys[i], (), f"{name}{i}")
    kept = find_kept(tmp_path, keys)
    assert kept.is_there.tolist() == [True, False, True, True]
    assert Path(kept.ref(2).journal).name == "a.0.log"
    assert kept.heads(3) == ()
    again = find_kept(tmp_path, keys, kept)
    assert again is kept


def test_a_head_of_another_form_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    with Journal(tmp_path, "old") as journal:
        journal.done(b"k" * KEY_BYTES, {"name": "as an earlier version wrote it"}, "body")
    assert not len(find_kept(tmp_path, Keys.of([b"k" * KEY_BYTES])))


def test_the_number_of_tasks_does_not_grow_with_the_rows_and_neighbours_go_to_different_ones() -> None:
    assert in_tasks(["a", "b"], 2) == [["a"], ["b"]]
    tasks = in_tasks(range(10 * MAX_TASKS), 2)
    assert len(tasks) == MAX_TASKS
    assert {len(task) for task in tasks} == {10}
    assert sorted(row for task in tasks for row in task) == list(range(10 * MAX_TASKS))
    assert [task[0] for task in tasks] == list(range(MAX_TASKS))
    assert len(in_tasks(range(10 * MAX_TASKS), 500)) == 4000


def test_the_work_of_tasks_lies_in_a_file_as_long_as_they_run(tmp_path: Path) -> None:
    rows = [{"name": str(i), "work": bytes([i]) * i} for i in range(5)]
    with written(iter(rows), tmp_path / "scratch") as places:
        assert all("work" not in place for place in places)
        assert [{k: v for k, v in with_work(p).items() if k in ("name", "work")} for p in places] == rows
    assert list((tmp_path / "scratch").iterdir()) == []
    assert with_work(rows[1]) is rows[1]
