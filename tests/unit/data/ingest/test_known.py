"""What did not change is not read again to know it, and what may have changed is."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.dedup.heads import text_of
from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.ingest import known as known_module
from ray_ft.data.ingest import stage
from ray_ft.data.ingest.items import UNREAD, Todo
from ray_ft.data.ingest.known import KNOWN, Known, Notes
from ray_ft.data.ingest.listed import Batched, Listed
from ray_ft.data.ingest.listing import each_file, sources_digest
from ray_ft.data.ingest.manifest import keyed, list_items
from ray_ft.data.ingest.stage import ParseJob, Work, parse_batch
from ray_ft.data.run.typed import dump
from ray_ft.data.run.typed import load as load_typed

LONG_AGO = time.time() - 3600


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """Six pages and a zip of two, all written an hour ago as far as their times say."""
    (tmp_path / "docs").mkdir()
    for i in range(6):
        (tmp_path / "docs" / f"{i}.md").write_text(f"# Page {i}\n\nWords of page {i}, which nobody else has.\n")
    (tmp_path / "packed").mkdir()
    for i in range(2):
        (tmp_path / "packed" / f"{i}.md").write_text(f"# Packed {i}\n")
    shutil.make_archive(str(tmp_path / "old"), "zip", tmp_path / "packed")
    return DataConfig(sources=(str(tmp_path / "docs"), str(tmp_path / "old.zip")))


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of change as if the tests' files had been there for long, which nobody can set."""
    monkeypatch.setattr(known_module, "RECENT_NS", -3600 * 10**9)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that are hashed."""
    paths: list[str] = []
    whole = known_module.hash_stamped

    def counted(file: SourceFile) -> Any:
        paths.append(file.path)
        return whole(file)

    for module in ("listing", "stage"):
        monkeypatch.setattr(f"ray_ft.data.ingest.{module}.hash_stamped", counted)
    return paths


def _plain_digest(data: DataConfig) -> str:
    """The digest by hand, of files of folders."""
    hasher = hashlib.sha256()
    for file in each_file(data):
        if not file.kind:
            hasher.update(f"{file.path}\0{hashlib.sha256(Path(file.location).read_bytes()).hexdigest()}\n".encode())
    return hasher.hexdigest()[:16]


def test_only_what_changed_is_hashed_again(data: DataConfig, tmp_path: Path, hashed: list[str]) -> None:
    known, page = tmp_path / KNOWN, tmp_path / "docs" / "3.md"
    first = sources_digest(data, known)
    assert len(hashed) == first["num_files"] == 8
    hashed.clear()
    assert sources_digest(data, known) == first
    assert hashed == []
    os.utime(page)
    assert sources_digest(data, known) == first
    assert hashed == ["docs/3.md"]
    hashed.clear()
    status = page.stat()
    page.write_text(page.read_text().replace("Words", "Terms"))  # as long as before
    os.utime(page, ns=(status.st_atime_ns, status.st_mtime_ns))  # and as old; the inode's own time tells
    changed = sources_digest(data, known)
    assert hashed == ["docs/3.md"]
    assert changed != first
    assert changed == sources_digest(data)


def test_a_file_that_changed_a_moment_ago_is_not_trusted(
    data: DataConfig, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "RECENT_NS", 2 * 10**9)
    for _ in range(2):
        hashed.clear()
        sources_digest(data, tmp_path / KNOWN)
        assert len(hashed) == 8


def test_a_damaged_note_and_those_behind_it_are_as_if_they_were_not_there(
    data: DataConfig, tmp_path: Path, hashed: list[str]
) -> None:
    known = tmp_path / KNOWN
    first = sources_digest(data, known)
    lines = known.read_text().splitlines(keepends=True)
    known.write_text("".join(lines[:2]) + json.dumps(["docs/2.md", [], "no digest"]) + "\n" + "".join(lines[3:]))
    hashed.clear()
    assert sources_digest(data, known) == first
    assert len(hashed) == 6


def test_notes_of_a_run_that_fails_do_not_count(data: DataConfig, tmp_path: Path) -> None:
    (file, *_) = each_file(data)

    def killed() -> None:
        with Notes(tmp_path / KNOWN) as notes:
            notes.add(file, "a" * 64)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert Known(tmp_path / KNOWN).content(file) == ""
    with Notes(tmp_path / KNOWN) as notes:
        notes.add(file, "a" * 64)
    assert Known(tmp_path / KNOWN).content(file) == "a" * 64
    assert not list(tmp_path.glob("*.partial"))


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that runs parse, with their tasks in this process."""
    paths: list[str] = []

    def tasks(rows: Iterable[dict[str, Any]], function: Any, job: ParseJob, **_: Any) -> Iterator[str]:
        for row in list(rows):
            if function is parse_batch:
                paths.extend(todo.item.path for todo in load_typed(list[Todo], row["work"]))  # type: ignore[union-attr]
            yield function(row, job=job)["result"]

    monkeypatch.setattr(stage, "run_tasks", tasks)
    monkeypatch.setattr(stage, "num_cpus", lambda: 1)
    return paths


def _run(data: DataConfig, folder: Path) -> Work:
    return stage.read_items(list_items(data, 64), data, folder, retry_quarantined=False)


def test_a_first_run_reads_each_file_once_and_tells_what_the_sources_hold(
    data: DataConfig, tmp_path: Path, hashed: list[str], parsed: list[str]
) -> None:
    work = _run(data, tmp_path / "work")
    assert hashed == []
    assert len(parsed) == len(set(parsed)) == 8
    assert work.sources == sources_digest(data)
    folders = DataConfig(sources=data.sources[:1])
    assert _run(folders, tmp_path / "other").sources["digest"] == _plain_digest(folders)


def test_the_next_run_hashes_nothing_and_one_that_trusts_no_times_everything(
    data: DataConfig, tmp_path: Path, hashed: list[str], parsed: list[str]
) -> None:
    first = _run(data, tmp_path / "work")
    parsed.clear()
    again = _run(data, tmp_path / "work")
    assert (hashed, parsed) == ([], [])
    assert list(again.items.keys) == list(first.items.keys)
    anew = _run(replace(data, trust_times=False), tmp_path / "work")
    assert (len(hashed), parsed) == (8, [])
    assert anew.sources == again.sources == first.sources


@pytest.mark.parametrize("here", [0, 2000])
def test_copies_of_the_sources_are_taken_over_by_their_content(
    data: DataConfig, tmp_path: Path, hashed: list[str], parsed: list[str], monkeypatch: pytest.MonkeyPatch, here: int
) -> None:
    monkeypatch.setattr(stage, "HASHED_HERE", here)  # else by tasks
    first = _run(data, tmp_path / "work")
    shutil.copytree(tmp_path / "docs", tmp_path / "copied" / "docs")
    (tmp_path / "copied" / "docs" / "2.md").write_text("# Other\n")
    shutil.copy(tmp_path / "old.zip", tmp_path / "copied" / "old.zip")
    parsed.clear()
    copied = DataConfig(sources=(str(tmp_path / "copied" / "docs"), str(tmp_path / "copied" / "old.zip")))
    again = _run(copied, tmp_path / "work")
    assert len(hashed) == 8
    assert parsed == ["docs/2.md"]
    assert [a == b for a, b in zip(first.items.keys, again.items.keys, strict=True)].count(False) == 1
    assert again.changed == ()


def test_a_task_that_died_tells_in_its_second_life_what_it_had_read_in_its_first(
    data: DataConfig, tmp_path: Path
) -> None:
    listed = Listed.of(keyed(list_items(data, 64), Known(None), "how"), tmp_path)
    todo = [listed.todo(i) for i in range(len(listed))]
    assert {one.content for one in todo} == {UNREAD}
    job = ParseJob(str(tmp_path / "parsed"), "run", how="how")
    row = {"work": dump(todo)}
    first, second = (json.loads(parse_batch(row, job=job)["result"]) for _ in range(2))
    assert first["found"] == second["found"]
    assert len(first["found"]) == 8
    assert second["states"] == {}  # nothing was parsed again


def test_a_quarantined_file_is_known_by_what_it_holds(
    data: DataConfig, tmp_path: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage.parse_and_sign

    def given_up(item: Any, job: ParseJob) -> Any:
        return stage._given_up(item, stage.TOOK_LONG, job) if item.path.endswith("3.md") else whole(item, job)

    monkeypatch.setattr(stage, "parse_and_sign", given_up)
    _run(data, tmp_path / "work")
    parsed.clear()
    os.utime(tmp_path / "docs" / "3.md")
    again = _run(replace(data, trust_times=False), tmp_path / "work")
    assert parsed == []
    (read,) = stage.load(again.items[3], again.ref(3))
    assert isinstance(read, ReadFile)
    assert (read.status, text_of(read)) == ("quarantined", "")


def test_batches_name_what_had_changed(data: DataConfig, tmp_path: Path) -> None:
    listed = Listed.of(keyed(list_items(data, 64), Known(None), "how"), tmp_path)
    batched = Batched(listed, listed.sizes.argsort(), 1)
    (row,) = batched.rows()
    found = [[0, "aa" * 32, "bb" * 32, 5, True], [1, "cc" * 32, "dd" * 32, 6, False]]
    first, second = load_typed(list[Todo], row["work"])[:2]
    assert batched.take({"batch": row["batch"], "found": found}) == [first.item.path]  # type: ignore[union-attr]
    told = {file.path: (content, same) for file, content, same in listed.files() if content}
    assert told == {first.item.path: ("bb" * 32, False), second.item.path: ("dd" * 32, True)}  # type: ignore[union-attr]
