"""The journal keeps every document that was done, and nothing that was not."""

import os
import pickle
import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from ray_ft.data.run.journal import DONE, FRAME, MARK, Journal, read_body, read_journal
from ray_ft.errors import DataError

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
    assert [e.head_as(dict[str, int]) for e in done] == [{"number": i} for i in range(4)]
    assert [read_body(e.ref, str) for e in done if e.ref] == ["text " * (i + 1) for i in range(4)]


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


def test_what_is_not_of_the_type_that_is_asked_for_counts_as_not_kept(tmp_path: Path) -> None:
    path = _write(tmp_path)
    entry = next(e for e in read_journal(path) if e.ref)
    assert entry.ref is not None
    assert entry.head_as(tuple[str, str]) is None
    with pytest.raises(DataError, match=r"batch\.0\.log is damaged .* delete it and run prepare again") as caught:
        read_body(entry.ref, list[str])
    assert "\n" not in str(caught.value)


class Forged:
    """Leaves a file where it is read by pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("in_todays_frames", [False, True])
def test_a_forged_journal_runs_nothing(tmp_path: Path, in_todays_frames: bool) -> None:
    mark = tmp_path / "ran"
    head, body = pickle.dumps((9, Forged(mark))), pa.Codec("zstd").compress(pickle.dumps(Forged(mark)), asbytes=True)
    checksum = zlib.crc32(KEYS[0] + head)
    frame = struct.pack("<4sB32sIII", b"rftj", DONE, KEYS[0], len(head), len(body), checksum)  # as it was once
    if in_todays_frames:
        frame = FRAME.pack(MARK, DONE, KEYS[0], len(head), len(body), 999, checksum)
    path = tmp_path / "forged.0.log"
    path.write_bytes(frame + head + body)
    entries = list(read_journal(path))
    assert [entry.head_as(tuple[str, str]) for entry in entries] == [None] * in_todays_frames
    for entry in entries:
        assert entry.ref is not None
        with pytest.raises(DataError, match="damaged"):
            read_body(entry.ref, str)
    assert not mark.exists()
    pickle.loads(head)
    assert mark.exists()  # which is what the test is about


def test_a_second_task_of_the_same_name_has_a_journal_of_its_own(tmp_path: Path) -> None:
    first, second = _write(tmp_path), _write(tmp_path)
    assert first != second
    assert sorted(p.name for p in tmp_path.iterdir()) == ["batch.0.log", "batch.1.log"]
