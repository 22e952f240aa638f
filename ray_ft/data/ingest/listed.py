"""All that prepare works on, in order, in a file; of each item some sixty bytes are in memory."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.datasets import Slice
from ray_ft.data.ingest.items import Item, Numbers, Todo, size_of
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.spilled import Spilled

IS_SLICE, IS_UNREAD = 1, 2


class Listed(Sequence[Item]):
    """The items of a run under their keys."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keys()
        self._todo = Spilled(Todo, folder / "listed")
        self._sizes, self._lots, self._flags = array("Q"), array("Q"), array("B")
        self._as_read: dict[int, int] = {}  # bytes of those that were read as something else than what was listed

    @staticmethod
    def of(todo: Iterable[Todo], folder: Path) -> "Listed":
        """These items, in their order."""
        made = Listed(folder)
        for one in todo:
            made.append(one)
        return made

    def append(self, todo: Todo) -> None:
        """Add an item behind the others."""
        item = todo.item
        self.keys.append(todo.key)
        self._todo.append(todo)
        self._sizes.append(size_of(item))
        self._lots.append(_lot(item))
        is_unread = isinstance(item, SourceFile) and bool(item.reason)
        self._flags.append(IS_SLICE * isinstance(item, Slice) | IS_UNREAD * is_unread)

    def __len__(self) -> int:
        return len(self._todo)

    def __getitem__(self, number: Any) -> Any:
        item = self._todo[number].item
        return replace(item, num_bytes=self._as_read[number]) if number in self._as_read else item

    def todo(self, number: int) -> Todo:
        """An item with its key, as it was listed."""
        todo: Todo = self._todo[number]
        return todo

    def was_read_as(self, number: int, key: bytes, num_bytes: int) -> None:
        """Note that an item had changed when it was read."""
        self.keys.replace(number, key)
        self._as_read[number] = num_bytes
        self._sizes[number] = num_bytes

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
        return np.array((np.array(self._flags, dtype=np.uint8) & IS_SLICE) > 0)

    @property
    def is_read(self) -> Numbers:
        """Whether each item is to be read at all, [items]."""
        return np.array((np.array(self._flags, dtype=np.uint8) & IS_UNREAD) == 0)


def _lot(item: Item) -> int:
    name = item.path if isinstance(item, SourceFile) else item.file.name
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
