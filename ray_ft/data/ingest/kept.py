"""Where the finished items of a run lie, by number: a place in a journal each, and nothing of what they hold."""

from array import array
from dataclasses import replace
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
        file = self._files[self._journal[number]]
        return read_head(replace(self.ref(number), journal=file), tuple[Head, ...])


def find_kept(folder: Path | Journals, keys: Keys, kept: Kept | None = None) -> Kept:
    """Of these keys those that some journal holds, beside what is `kept` already.

    Heads of another form, as an earlier version wrote them, are as if they were not there.
    """
    kept = Kept(len(keys)) if kept is None else kept
    for place, path in Journals.of(folder).all().items():
        entries: list[Entry] = []
        for entry in read_journal(path, place):
            if entry.ref is not None:
                entries.append(entry)
                if len(entries) == AT_A_TIME:
                    _take(entries, keys, kept, path)
                    entries = []
        _take(entries, keys, kept, path)
    return kept


def _take(entries: list[Entry], keys: Keys, kept: Kept, file: Path) -> None:
    for entry, number in zip(entries, keys.numbers_of([entry.key for entry in entries]), strict=True):
        if number >= 0 and number not in kept and entry.head_as(tuple[Head, ...]) is not None:
            assert entry.ref is not None
            kept.add(number, entry.ref, str(file))
