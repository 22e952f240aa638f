"""The journal keeps every document that was done, and nothing that was not."""

import sys
from pathlib import Path

import pytest

from ray_ft.data.run.journal import Journal, read_body, read_journal

KEYS = [bytes([i]) * 32 for i in range(4)]


def _write(folder: Path) -> Path:
    with Journal(folder, "batch") as journal:
        for i, key in enumerate(KEYS):
            journal.begin(key, "run")
            journal.done(key, {"number": i}, "text " * (i + 1))
    return journal.path


def test_what_was_done_can_be_read_again_without_the_bodies_of_the_others(tmp_path: Path) -> None:
    path = _write(tmp_path)
    entries = list(read_journal(path))
    assert [e.key for e in entries] == [key for key in KEYS for _ in range(2)]
    assert [e.run for e in entries if e.ref is None] == ["run"] * 4
    done = [e for e in entries if e.ref is not None]
    assert [e.head for e in done] == [{"number": i} for i in range(4)]
    assert [read_body(e.ref) for e in done if e.ref] == ["text " * (i + 1) for i in range(4)]


def test_cut_anywhere_a_journal_gives_the_documents_that_were_whole(tmp_path: Path) -> None:
    path = _write(tmp_path)
    whole = path.read_bytes()
    ends = [e.ref.offset + e.ref.num_bytes for e in read_journal(path) if e.ref]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        done = [e for e in read_journal(path) if e.ref]
        assert len(done) == sum(end <= size for end in ends)


def test_a_head_with_flipped_bits_ends_the_reading(tmp_path: Path) -> None:
    path = _write(tmp_path)
    whole = bytearray(path.read_bytes())
    entries = list(read_journal(path))
    assert entries[1].ref is not None
    whole[entries[1].ref.offset + entries[1].ref.num_bytes + 5] ^= 1  # kind or key of the third entry
    path.write_bytes(whole)
    assert len(list(read_journal(path))) == 2


def test_what_an_older_version_kept_in_classes_that_are_gone_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Gone", type("Gone", (), {"__module__": __name__}), raising=False)
    with Journal(tmp_path, "batch") as journal:
        journal.done(KEYS[0], sys.modules[__name__].Gone(), "old")
        journal.done(KEYS[1], "head", "new")
    monkeypatch.undo()
    assert [(e.key, e.head) for e in read_journal(journal.path)] == [(KEYS[1], "head")]


def test_a_second_task_of_the_same_name_has_a_journal_of_its_own(tmp_path: Path) -> None:
    first, second = _write(tmp_path), _write(tmp_path)
    assert first != second
    assert sorted(p.name for p in tmp_path.iterdir()) == ["batch.0.log", "batch.1.log"]
