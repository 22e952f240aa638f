"""All that prepare works on, in order, in files, of each item some sixty bytes in memory; and the batches of it."""

import hashlib
import json
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np

from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.datasets import Slice
from ray_ft.data.ingest.items import UNREAD, Item, Numbers, Todo, batches, key_under, size_of
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.spilled import Spilled
from ray_ft.data.run.typed import dump

IS_SLICE, IS_SKIPPED, IS_UNREAD, HAS_MOVED = 1, 2, 4, 8
CONTENT_BYTES = 32  # of SHA-256
NOT_TOLD = bytes(CONTENT_BYTES)


class Listed(Sequence[Item]):
    """The items of a run under their keys, and what each holds as far as that is known."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keys()
        self._items: Spilled[Item] = Spilled(cast(Any, Item), folder / "listed")
        self._contents = (folder / "contents").open("w+b")
        self._reasons: dict[int, str] = {}  # of those that could not be read, which are few, instead of a content
        self._sizes, self._lots, self._flags = array("Q"), array("Q"), array("B")
        self._as_read: dict[int, int] = {}  # bytes of those that have others than when they were listed

    @staticmethod
    def of(todo: Iterable[Todo], folder: Path) -> "Listed":
        """These items, in their order."""
        made = Listed(folder)
        for one in todo:
            made.append(one)
        return made

    def append(self, todo: Todo) -> None:
        """Add an item behind the others."""
        item, number = todo.item, len(self._items)
        self.keys.append(todo.key)
        self._items.append(item)
        self._sizes.append(size_of(item))
        self._lots.append(_lot(item))
        is_skipped = isinstance(item, SourceFile) and bool(item.reason)
        self._flags.append(
            IS_SLICE * isinstance(item, Slice) | IS_SKIPPED * is_skipped | IS_UNREAD * (todo.content == UNREAD)
        )
        self._contents.write(self._row(number, todo.content))

    def put_under(self, settings: str) -> None:
        """Let all keys say how their items are parsed."""
        self.keys.change(partial(key_under, settings))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: Any) -> Any:
        item = self._items[number]
        return replace(item, num_bytes=self._as_read[number]) if number in self._as_read else item

    def todo(self, number: int) -> Todo:
        """An item with its key, as it was listed."""
        content = UNREAD if self._flags[number] & IS_UNREAD else self._content(number)
        return Todo(self.keys[number], self._items[number], content)

    def was_read_as(self, number: int, key: bytes, content: str, num_bytes: int, *, has_moved: bool) -> None:
        """Note what an item held when it was read, and whether it had changed since it was listed."""
        self.keys.replace(number, key)
        if num_bytes != self._sizes[number]:
            self._as_read[number] = self._sizes[number] = num_bytes
        self._reasons.pop(number, None)
        self._contents.flush()
        os.pwrite(self._contents.fileno(), self._row(number, content), number * CONTENT_BYTES)
        self._flags[number] = self._flags[number] & ~IS_UNREAD | HAS_MOVED * has_moved

    def files(self) -> Iterator[tuple[SourceFile, str, bool]]:
        """The files that are read, in order: what each holds, and whether it still was as it was listed."""
        for number, flags in enumerate(self._flags):
            if not flags & (IS_SLICE | IS_SKIPPED):
                item = self[number]
                yield item, item.content or self._content(number), not flags & HAS_MOVED

    @property
    def sizes(self) -> Numbers:
        """Bytes of each item, [items]; those that are not read have theirs too."""
        return np.array(self._sizes, dtype=np.int64)

    @property
    def lots(self) -> Numbers:
        """A number for each item from its name alone, [items]."""
        return np.array(self._lots, dtype=np.uint64)

    @property
    def is_slice(self) -> Numbers:
        """Whether each item is part of a dataset, [items]."""
        return self._has(IS_SLICE)

    @property
    def is_read(self) -> Numbers:
        """Whether each item is to be read at all, [items]."""
        return ~self._has(IS_SKIPPED)

    @property
    def is_unread(self) -> Numbers:
        """Whether nobody knows yet what each item holds, [items]."""
        return self._has(IS_UNREAD)

    def _has(self, flag: int) -> Numbers:
        return np.array((np.array(self._flags, dtype=np.uint8) & flag) > 0)

    def _row(self, number: int, content: str) -> bytes:
        """A content as it lies in the file; what is no SHA-256 is kept aside."""
        with suppress(ValueError):
            if len(content) == 2 * CONTENT_BYTES:
                return bytes.fromhex(content)
        if content and content != UNREAD:
            self._reasons[number] = content
        return NOT_TOLD

    def _content(self, number: int) -> str:
        if number in self._reasons:
            return self._reasons[number]
        self._contents.flush()
        raw = os.pread(self._contents.fileno(), CONTENT_BYTES, number * CONTENT_BYTES)
        return "" if raw == NOT_TOLD else raw.hex()


def _lot(item: Item) -> int:
    name = item.path if isinstance(item, SourceFile) else item.file.name
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")


class Found(NamedTuple):
    """What an item of a batch held when it was read, where the list did not know or knew otherwise."""

    place: int  # in the batch
    key: str
    content: str
    num_bytes: int
    has_moved: bool  # it was something else when it was listed


@dataclass
class BatchResult:
    """What a batch became, in numbers."""

    batch: int = 0
    num_items: int = 0
    num_bytes: int = 0
    states: Counter[str] = field(default_factory=Counter)  # "ok", "skipped: reason", "quarantined: reason"
    found: list[Found] = field(default_factory=list)
    error: str = ""


class Batched:
    """Some items of a list in batches of one task each, and what comes back of them."""

    def __init__(
        self, listed: Listed, numbers: Numbers, num_cpus: int, pieces: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        self.listed, self.numbers, self.num_cpus, self.pieces = listed, numbers, num_cpus, pieces
        self._members: list[Numbers] = []

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each batch."""
        for batch in batches(self.listed.sizes[self.numbers], self.num_cpus):
            members = self.numbers[batch.start : batch.stop]
            self._members.append(members)
            work = dump([self._todo(number) for number in members.tolist()])
            yield {"batch": len(self._members) - 1, "work": work}

    def _todo(self, number: int) -> Todo:
        """An item, with the place of its piece if it has one."""
        todo = self.listed.todo(number)
        if number not in self.pieces:
            return todo
        assert isinstance(todo.item, Slice)
        return replace(todo, item=replace(todo.item, piece=self.pieces[number]))

    @staticmethod
    def results(done: Iterable[str]) -> Iterator[dict[str, Any]]:
        """What tasks say, as it comes."""
        return (json.loads(result) for result in done)

    def take(self, result: dict[str, Any]) -> list[str]:
        """Note what a batch's items held; returns the paths of those that had changed since they were listed."""
        changed = []
        for place, key, content, num_bytes, has_moved in result["found"]:
            number = int(self._members[result["batch"]][place])
            if has_moved:
                changed.append(self.listed[number].path)
            self.listed.was_read_as(number, bytes.fromhex(key), content, num_bytes, has_moved=has_moved)
        return changed
