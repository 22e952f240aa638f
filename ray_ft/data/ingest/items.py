"""What one task reads at a time: a file or a slice of a dataset, under a key, several to a batch."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.datasets import Slice

Item = SourceFile | Slice
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Todo:
    """An item that is to be read, under its key."""

    key: bytes
    item: Item
    content: str = ""  # SHA-256 of what was listed, or why it could not be read; UNREAD where nobody knows yet


UNREAD = "unread"


BATCH_BYTES, BATCH_FILES = 8 * 2**20, 256  # of a batch, at most, but where there would be too many
MAX_BATCHES = 20_000  # each is a journal
MIN_BATCH_BYTES, MIN_BATCH_FILES = 256 * 2**10, 16  # and as many as are worth one
MIN_BATCHES, BATCHES_PER_CPU = 64, 8  # a cluster that is small now may grow


def item_key(item: Item, content: str, settings: str) -> bytes:
    """Equal for items that parsing makes the same of: same content under the same name, parsed in the same way.

    Without settings, what `key_under` takes.
    """
    about: tuple[Any, ...]
    if isinstance(item, SourceFile):
        about = (item.path, item.num_bytes, item.reason, *(item.stamp if content == UNREAD else ()))
    else:
        about = (item.file.name, item.file.kind, item.file.origin, item.start, item.end, item.first)
    held = hashlib.sha256(f"{content}\0{about!r}".encode("utf-8", "surrogateescape")).digest()
    return key_under(settings, held) if settings else held


def key_under(settings: str, held: bytes) -> bytes:
    """The key of an item from the one that says nothing of how it is parsed."""
    return hashlib.sha256(settings.encode() + held).digest()


def size_of(item: Item) -> int:
    """Bytes of a file or of lines; slices of tables count their rows, and are batches of their own."""
    if isinstance(item, SourceFile):
        return item.num_bytes
    return item.end - item.start if item.file.kind == "lines" else BATCH_BYTES


def batches(sizes: Numbers, num_cpus: int = 1) -> Iterator[range]:
    """Numbers of items in batches of one task each: neighbours, so that who reads what was made of them in order goes
    from one journal to the next. The largest batch comes first, so that no large one is left for the end.

    `sizes` are the bytes of each. There are several batches for each processor, as long as a batch is worth a task.
    What is made does not depend on it.
    """  # fmt: skip
    wanted = max(MIN_BATCHES, BATCHES_PER_CPU * num_cpus)
    ends = np.cumsum(sizes, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    most_bytes = min(max(BATCH_BYTES, total // MAX_BATCHES), max(MIN_BATCH_BYTES, total // wanted))
    most_files = min(max(BATCH_FILES, len(sizes) // MAX_BATCHES), max(MIN_BATCH_FILES, len(sizes) // wanted))
    found: list[tuple[int, int, int]] = []
    first = before = 0
    while first < len(ends):
        fitting = int(np.searchsorted(ends, before + most_bytes, side="right"))
        last = min(max(fitting, first + 1), first + most_files)
        found.append((before - int(ends[last - 1]), first, last))
        first, before = last, int(ends[last - 1])
    return (range(first, last) for _, first, last in sorted(found))


def batch_name(batch: Sequence[Todo]) -> str:
    """The same for the same items."""
    return hashlib.sha256(b"".join(todo.key for todo in batch)).hexdigest()[:20]
