"""Where the finished items of a run lie, by number: a place in a journal each, and nothing of what they hold."""

import os
from array import array
from pathlib import Path

import numpy as np

from ray_ft.data.dedup.heads import Head
from ray_ft.data.ingest.items import Numbers
from ray_ft.data.run.journal import Entry, Ref, read_head, read_journal
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.segments import Journals

AT_A_TIME = 4096  # entries of a journal that are looked up together


class Kept:
    """For each item of a list where it lies, if it does."""

    def __init__(self, number: int) -> None:
        self._open: tuple[str, int] | None = None
        self.places: set[str] = set()  # of the journals that were looked through
        self._journals: list[str] = []
        self._files: list[str] = []  # on this machine, with what each journal tells of its entries
        self._journal = array("i", [-1]) * number
        self._offset = array("Q", [0]) * number
        self._num_bytes, self._full_bytes, self._head_bytes = (array("I", [0]) * number for _ in range(3))

    def add(self, number: int, ref: Ref, file: str = "") -> None:
        """Note where an item lies, and in which file of this machine what is told of it, where that is another one."""
        if not self._journals or self._journals[-1] != ref.journal:
            self._journals.append(ref.journal)
            self._files.append(file or ref.journal)
        self._journal[number] = len(self._journals) - 1
        self._offset[number] = ref.offset
        self._num_bytes[number], self._full_bytes[number] = ref.num_bytes, ref.full_bytes
        self._head_bytes[number] = ref.head_bytes

    def __contains__(self, number: int) -> bool:
        return self._journal[number] >= 0

    def __len__(self) -> int:
        return int(self.is_there.sum())

    @property
    def is_there(self) -> Numbers:
        """Whether each item is kept, [items]."""
        return np.array(self._journal, dtype=np.int32) >= 0

    def ref(self, number: int) -> Ref:
        """Where an item lies."""
        return Ref(
            self._journals[self._journal[number]],
            self._offset[number],
            self._num_bytes[number],
            self._full_bytes[number],
            self._head_bytes[number],
        )

    def heads(self, number: int) -> tuple[Head, ...]:
        """What is told of an item's documents. Raises DataError where the journal was changed meanwhile."""
        ref = self.ref(number)
        return read_head(ref, tuple[Head, ...], self._told(ref, self._files[self._journal[number]]))

    def _told(self, ref: Ref, file: str) -> bytes | None:
        """What the file says, which stays open: neighbours mostly lie in one. None where it is gone."""
        if self._open is None or self._open[0] != file:
            self.close()
            try:
                self._open = file, os.open(file, os.O_RDONLY)
            except OSError:
                return None
        return os.pread(self._open[1], ref.head_bytes, ref.offset - ref.head_bytes)

    def close(self) -> None:
        """Close the file that was read last."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def __del__(self) -> None:
        self.close()


def find_kept(folder: Path | Journals, keys: Keys, kept: Kept | None = None) -> Kept:
    """Of these keys those that some journal holds, beside what is `kept` already: by the journals that came since.

    Heads of another form, as an earlier version wrote them, are as if they were not there; what came since, this run's
    own tasks wrote.
    """
    take = _take_unseen if kept is None else _take
    kept = Kept(len(keys)) if kept is None else kept
    for place, path in Journals.of(folder).all().items():
        if place in kept.places:
            continue
        kept.places.add(place)
        entries: list[Entry] = []
        for entry in read_journal(path, place):
            if entry.ref is not None:
                entries.append(entry)
                if len(entries) == AT_A_TIME:
                    take(entries, keys, kept, path)
                    entries = []
        take(entries, keys, kept, path)
    return kept


def _take_unseen(entries: list[Entry], keys: Keys, kept: Kept, file: Path) -> None:
    """Those whose heads are of the form of today."""
    _take([entry for entry in entries if entry.head_as(tuple[Head, ...]) is not None], keys, kept, file)


def _take(entries: list[Entry], keys: Keys, kept: Kept, file: Path) -> None:
    for entry, number in zip(entries, keys.numbers_of([entry.key for entry in entries]), strict=True):
        if number >= 0 and number not in kept:
            assert entry.ref is not None
            kept.add(number, entry.ref, str(file))
