"""Journals below a URI, where nothing can be appended: a task gathers entries and puts them as segments, objects each.

A segment is a stretch of a journal, and behind it once more what is told of each entry, its index, whose length is in
the segment's name: who looks through journals reads indexes alone. A death loses what was gathered since the last one.
"""

import logging
import re
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ray_ft.data.run.journal import FRAME, MARK, Entry, Journal, Ref, frame_of, read_journal
from ray_ft.data.run.keys import Keys
from ray_ft.errors import StorageError
from ray_ft.storage import Found, Store, in_parallel, is_uri, joined, shown

log = logging.getLogger("ray_ft")

SEGMENT_BYTES, SEGMENT_SECONDS = 8 * 2**20, 15.0  # after which what was gathered is put
MAX_GAP = 16  # numbers of a batch's journals that may be missing, since tidying up removed them
INDEX_BYTES = re.compile(r"\.(\d{1,12})\.log$")


class StoredJournal(Journal):
    """A new journal below a URI. A cautious one puts all that is done, and a note, before each beginning."""

    def __init__(self, store: Store, name: str, *, notes: Store | None = None, cautious: bool = False) -> None:
        self.store, self.name, self.notes, self.cautious = store, name, notes, cautious
        self._log, self._index = bytearray(), bytearray()
        self._since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, StorageError):
            self.flush()

    def begin(self, key: bytes, run: str) -> None:
        if self.cautious or time.monotonic() - self._since > SEGMENT_SECONDS:
            self.flush()
        if self.cautious and self.notes is not None:
            self.notes.write(f"{key.hex()}-{uuid.uuid4().hex[:8]}", b"")

    def flush(self) -> None:
        if self._log:
            name = f"{self.name}/{uuid.uuid4().hex[:12]}.{len(self._index)}.log"
            self.store.write(name, bytes(self._log + self._index))
        self._log, self._index = bytearray(), bytearray()
        self._since = time.monotonic()

    def _append(self, kind: int, key: bytes, head: bytes, body: bytes = b"", full_bytes: int = 0) -> None:
        frame = frame_of(kind, key, head, body, full_bytes)
        self._log += frame + head + body
        self._index += frame + head
        if len(self._log) >= SEGMENT_BYTES:
            self.flush()


def open_journal(folder: str | Path, name: str) -> Journal:
    """A new journal in a folder or below a URI."""
    return StoredJournal(Store(str(folder)), name) if is_uri(folder) else Journal(Path(folder), name)


def entries_in(folder: str | Path) -> Iterator[Entry]:
    """The whole entries of all journals in a folder or below a URI."""
    if not is_uri(folder):
        for path in sorted(Path(folder).glob("*.log")):
            yield from read_journal(path)
        return
    store = Store(str(folder))
    for found, index in in_parallel(lambda f: (f, read_index(store, f)), _segments(store)):
        yield from index_entries(index, store.uri_of(found.name))


def read_index(store: Store, found: Found) -> bytes:
    """What is told of a segment's entries."""
    size = _index_bytes(found)
    return store.read(found.name, found.num_bytes - size, found.num_bytes) if size else b""


def _segments(store: Store) -> list[Found]:
    return [found for found in store.list() if found.name.endswith(".log")]


def _index_bytes(found: Found) -> int:
    match = INDEX_BYTES.search(found.name)
    size = int(match.group(1)) if match else 0
    if not 0 < 2 * size <= 2 * found.num_bytes:
        log.warning("%s is no journal and passed over", found.name)
        return 0
    return size


# --- looking through them ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Journals:
    """The journals of a folder or below a URI; of storage, copies of the indexes are looked through, `here`."""

    folder: str
    here: Path

    @staticmethod
    def of(folder: "Path | Journals") -> "Journals":
        """Those of a folder, which lie here anyway."""
        return Journals(str(folder), folder) if isinstance(folder, Path) else folder

    def all(self) -> dict[str, Path]:
        """The file that has what each journal tells of its entries, by the journal's place; in order.

        For a segment it is a file of the same form with holes for what is not told, so that it is read like any other.
        """
        if not is_uri(self.folder):
            return {str(path): path for path in sorted(self.here.glob("*.log"))}
        store = Store(self.folder)
        self.here.mkdir(parents=True, exist_ok=True)
        segments = _segments(store)
        copies = {f.name: self.here / f.name.replace("/", "~") for f in segments}
        for path in set(self.here.glob("*.log")) - set(copies.values()):
            path.unlink()
        missing = [f for f in segments if not copies[f.name].exists()]
        for one, index in in_parallel(lambda f: (f, read_index(store, f)), missing):
            _write_with_holes(index, one, store.uri_of(one.name), copies[one.name])
        return {store.uri_of(name): path for name, path in copies.items()}

    def entries(self) -> Iterator[Entry]:
        """The whole entries of all of them."""
        for place, path in self.all().items():
            yield from read_journal(path, place)

    def remove(self, places: Iterable[str]) -> None:
        """Remove some."""
        if is_uri(self.folder):
            store = Store(self.folder)
            store.delete(map(store.name_of, places))
            return
        for place in places:
            Path(place).unlink()


def _write_with_holes(index: bytes, found: Found, place: str, path: Path) -> None:
    """A file in which a segment's frames and heads stand where they do in the segment."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        told = 0
        for _, start, raw in _told(index, place):
            stream.seek(start)
            stream.write(raw)
            told += len(raw)
        stream.truncate(found.num_bytes - len(index))
    if told < len(index) or not index:
        log.warning("%s is damaged; what cannot be read of it is made again", shown(place))
    partial.rename(path)


def index_entries(index: bytes, place: str) -> Iterator[Entry]:
    """The entries that a segment's index tells of."""
    return (entry for entry, _, _ in _told(index, place))


def _told(index: bytes, place: str) -> Iterator[tuple[Entry, int, bytes]]:
    """Each entry of an index, where its frame stands in the segment, and the frame with its head."""
    at = start = 0
    while at + FRAME.size <= len(index):
        mark, _, key, head_bytes, body_bytes, full_bytes, checksum = FRAME.unpack_from(index, at)
        raw = index[at : at + FRAME.size + head_bytes]
        head = raw[FRAME.size :]
        if mark != MARK or len(head) < head_bytes or zlib.crc32(key + head) != checksum:
            return
        body = start + len(raw)
        yield Entry(key, head, Ref(place, body, body_bytes, full_bytes, head_bytes)), start, raw
        at, start = at + len(raw), body + body_bytes


def compact(folder: Path | Journals, live: Keys) -> None:
    """Free the space of entries that nobody wants any more, where they are half of a journal or all of it."""
    journals, taken = Journals.of(folder), bytearray(len(live))
    for place, path in journals.all().items():
        done = [entry for entry in read_journal(path, place) if entry.ref]
        entries = []
        for entry, number in zip(done, live.numbers_of([entry.key for entry in done]), strict=True):
            if number >= 0 and not taken[number]:
                taken[number] = True
                entries.append(entry)
        num_bytes = sum(e.ref.num_bytes for e in entries if e.ref)
        if entries and 2 * num_bytes >= path.stat().st_size - FRAME.size * len(entries):
            continue
        _written_anew(journals, place, entries)


def strike(folder: Path | Journals, keys: set[bytes]) -> None:
    """Forget what became of some keys, by writing anew the journals that hold them."""
    journals = Journals.of(folder)
    for place, path in journals.all().items():
        entries = [entry for entry in read_journal(path, place) if entry.ref]
        if any(entry.key in keys for entry in entries):
            _written_anew(journals, place, [entry for entry in entries if entry.key not in keys])


def _written_anew(journals: Journals, place: str, entries: Sequence[Entry]) -> None:
    """A journal of some entries in the place of the one that has them."""
    if entries:
        name = Store(journals.folder).name_of(place) if is_uri(place) else Path(place).name
        with open_journal(journals.folder, re.split(r"[/.]", name)[0]) as journal:
            for entry in entries:
                journal.copy(entry)
    journals.remove([place])


# --- tries at a batch -------------------------------------------------------------------------------------------------


@dataclass
class Attempt:
    """What earlier tries of a run at a batch left: keys that are done, and how often it began the others in vain."""

    journal: Journal
    done: set[bytes] = field(default_factory=set)
    strikes: Counter[bytes] = field(default_factory=Counter)


def attempt_at(folder: str | Path, batch: str, run: str, tries: str = "") -> Attempt:
    """The next try at a batch. In storage the first one notes only that it began; after it each document is noted.

    `tries` is the URI of such notes.
    """
    done: set[bytes] = set()
    strikes: Counter[bytes] = Counter()
    if not is_uri(folder):
        for path in _journals_of(Path(folder), batch):
            for entry in read_journal(path):
                if entry.ref is not None:
                    done.add(entry.key)
                elif entry.run == run:
                    strikes[entry.key] += 1
        return Attempt(Journal(Path(folder), batch), done, strikes)
    notes = Store(joined(tries, run, batch))
    before = [found.name for found in notes.list()]
    notes.write(f"try-{uuid.uuid4().hex[:8]}", b"")
    for name in before:
        if not name.startswith("try-"):
            strikes[bytes.fromhex(name.partition("-")[0])] += 1
    if before:
        done = {entry.key for entry in entries_in(joined(str(folder), batch)) if entry.ref is not None}
    journal = StoredJournal(Store(str(folder)), batch, notes=notes, cautious=bool(before))
    return Attempt(journal, done, strikes)


def _journals_of(folder: Path, batch: str) -> list[Path]:
    """The journals of a batch, without going through those of all others."""
    found: list[Path] = []
    number = last = 0
    while number <= last + MAX_GAP:
        if (path := folder / f"{batch}.{number}.log").exists():
            found.append(path)
            last = number
        number += 1
    return found
