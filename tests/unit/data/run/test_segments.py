"""Journals in storage: what was put is found, a death costs a segment, and what kills is noted before it is tried."""

import random
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_ft.data.run import segments
from ray_ft.data.run.journal import read_body, read_head, read_journal
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.segments import Journals, attempt_at, compact, entries_in, open_journal, strike
from ray_ft.errors import DataError
from ray_ft.storage import Store

KEYS = [bytes([number]) * 32 for number in range(4)]


@pytest.fixture
def uri() -> str:
    return f"memory://{uuid.uuid4().hex}"


def keep(uri: str, name: str, *numbers: int, body: str = "body") -> None:
    with open_journal(uri, name) as journal:
        for number in numbers:
            journal.begin(KEYS[number], "run")
            journal.done(KEYS[number], f"head {number}", f"{body} {number}")


def test_what_was_put_is_found_by_its_index_and_read_where_it_lies(uri: str, tmp_path: Path) -> None:
    keep(uri, "batch", 0, 1)
    keep(uri, "other", 2)
    journals = Journals(uri, tmp_path / "here")
    found = journals.all()
    assert {place.rpartition("/")[0] for place in found} == {f"{uri}/batch", f"{uri}/other"}
    entries = {entry.key: entry for place, path in found.items() for entry in read_journal(path, place)}
    assert entries.keys() == set(KEYS[:3])
    for number, key in enumerate(KEYS[:3]):
        ref = entries[key].ref
        assert ref is not None
        assert ref.journal.startswith(uri)
        assert read_body(ref, str) == f"body {number}"
        here = found[ref.journal]
        assert read_head(segments.Ref(str(here), *list(vars(ref).values())[1:]), str) == f"head {number}"
    assert sorted(e.key for e in entries_in(uri)) == KEYS[:3]


def test_copies_of_indexes_follow_what_is_there(uri: str, tmp_path: Path) -> None:
    journals = Journals(uri, tmp_path / "here")
    keep(uri, "batch", 0)
    (first,) = journals.all().values()
    keep(uri, "batch", 1)
    journals.remove([place for place, path in journals.all().items() if path == first])
    assert [entry.key for entry in journals.entries()] == [KEYS[1]]
    assert not first.exists()


def test_a_death_costs_what_was_gathered_since_the_last_segment(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(uri, "batch")
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 150)  # a frame is 57 bytes and these documents some 40
    for number in range(3):
        journal.done(KEYS[number], "head", "body" * 4)
    assert [entry.key for entry in entries_in(uri)] == KEYS[:2]


def test_time_puts_a_segment_as_well(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(uri, "batch")
    journal.done(KEYS[0], "head", "body")
    assert not list(entries_in(uri))
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", -1.0)
    journal.begin(KEYS[1], "run")
    assert [entry.key for entry in entries_in(uri)] == KEYS[:1]


def test_after_a_death_each_document_is_noted_before_the_work_on_it(uri: str) -> None:
    tries = f"{uri}-tries"

    def die(run: str, number: int) -> segments.Attempt:
        """A try that ends while it works on a document, without a word."""
        attempt = attempt_at(uri, "batch", run, tries)
        for one in range(number):
            if KEYS[one] not in attempt.done:
                attempt.journal.begin(KEYS[one], run)
                attempt.journal.done(KEYS[one], "head", "body")
        attempt.journal.begin(KEYS[number], run)
        return attempt

    first = die("run", 2)
    assert (first.done, dict(first.strikes)) == (set(), {})
    second = die("run", 2)  # the first one put nothing: all is to be done again
    assert (second.done, dict(second.strikes)) == (set(), {})
    third = die("run", 2)
    assert third.done == set(KEYS[:2])
    assert third.strikes[KEYS[2]] == 1
    assert die("run", 2).strikes[KEYS[2]] == 2
    assert die("another run", 2).strikes == {}


def test_a_first_try_that_lives_puts_one_note_and_one_segment(uri: str) -> None:
    tries = Store(f"{uri}-tries")
    attempt = attempt_at(uri, "batch", "run", tries.uri)
    with attempt.journal as journal:
        for key in KEYS:
            journal.begin(key, "run")
            journal.done(key, "head", "body")
    assert len(tries.list()) == len(Store(uri).list()) == 1
    assert sorted(entry.key for entry in entries_in(uri)) == KEYS


@pytest.mark.parametrize("spoil", [lambda raw: b"garbage", lambda raw: raw[:-40] + b"0" * 40, lambda raw: b""])
def test_garbage_is_told_and_what_it_held_is_as_if_it_were_not_there(
    uri: str, tmp_path: Path, spoil: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    keep(uri, "batch", 0)
    keep(uri, "sound", 1)
    store = Store(uri)
    (name,) = [found.name for found in store.list() if found.name.startswith("batch")]
    store.write(name, spoil(store.read(name)))
    assert [entry.key for entry in Journals(uri, tmp_path).entries()] == [KEYS[1]]
    assert f"{uri}/{name}" in caplog.text


def test_a_body_that_was_spoilt_or_deleted_is_told(uri: str) -> None:
    keep(uri, "batch", 0)
    (entry,) = entries_in(uri)
    assert entry.ref is not None
    store = Store(uri)
    (found,) = store.list()
    raw = store.read(found.name)
    store.write(
        found.name,
        raw[: entry.ref.offset] + b"\0" * entry.ref.num_bytes + raw[entry.ref.offset + entry.ref.num_bytes :],
    )
    with pytest.raises(DataError, match=r"is damaged .*; delete it and run prepare again"):
        read_body(entry.ref, str)
    store.delete([found.name])
    with pytest.raises(DataError, match="is not there"):
        read_body(entry.ref, str)


def test_what_nobody_wants_is_freed_and_what_is_struck_is_forgotten(uri: str, tmp_path: Path) -> None:
    keep(uri, "batch", 0, 1, 2)
    keep(uri, "gone", 3)
    journals = Journals(uri, tmp_path)
    compact(journals, Keys.of([KEYS[1]]))
    assert [entry.key for entry in journals.entries()] == [KEYS[1]]
    (entry,) = journals.entries()
    assert entry.ref is not None
    assert read_body(entry.ref, str) == "body 1"
    keep(uri, "batch", 0)
    strike(journals, {KEYS[1]})
    assert [entry.key for entry in journals.entries()] == [KEYS[0]]


def test_a_journal_that_is_half_wanted_stays(uri: str, tmp_path: Path) -> None:
    keep(uri, "batch", 0, 1, 2, body=random.Random(0).randbytes(500).hex())
    before = Store(uri).list()
    compact(Journals(uri, tmp_path), Keys.of(KEYS[:2]))
    assert Store(uri).list() == before
