"""What one task reads at a time: a file or a slice of a dataset, under a key, several to a batch."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.datasets import Slice

Item = SourceFile | Slice


@dataclass(frozen=True)
class Todo:
    """An item that is to be read, under its key."""

    key: bytes
    item: Item
    content: str = ""  # SHA-256 of what was listed, or why it could not be read; "" where only storage vouches for it


BATCH_BYTES, BATCH_FILES = 8 * 2**20, 256  # of one task, at most
MIN_BATCH_BYTES, MIN_BATCH_FILES = 256 * 2**10, 16  # and as many as are worth one
MIN_BATCHES, BATCHES_PER_CPU = 64, 8  # a cluster that is small now may grow


def item_key(item: Item, content: str, settings: str) -> bytes:
    """Equal for items that parsing makes the same of: same content under the same name, parsed in the same way."""
    about: tuple[Any, ...]
    if isinstance(item, SourceFile):
        about = (item.path, item.num_bytes, item.reason)
    else:
        about = (item.file.name, item.file.kind, item.file.origin, item.start, item.end, item.first)
    return hashlib.sha256(f"{settings}\0{content}\0{about!r}".encode("utf-8", "surrogateescape")).digest()


def size_of(item: Item) -> int:
    """Bytes of a file or of lines; slices of tables count their rows, and are batches of their own."""
    if isinstance(item, SourceFile):
        return item.num_bytes
    return item.end - item.start if item.file.kind == "lines" else BATCH_BYTES


def batches(items: Iterable[Todo], num_cpus: int = 1) -> list[list[Todo]]:
    """Items in batches of one task each, the largest first, so that no large one is left for the end.

    There are several for each processor, as long as a batch is worth a task. What is made does not depend on it.
    """
    ordered = sorted(items, key=lambda todo: (-size_of(todo.item), todo.key))
    wanted = max(MIN_BATCHES, BATCHES_PER_CPU * num_cpus)
    most_bytes = min(BATCH_BYTES, max(MIN_BATCH_BYTES, sum(size_of(todo.item) for todo in ordered) // wanted))
    most_files = min(BATCH_FILES, max(MIN_BATCH_FILES, len(ordered) // wanted))
    made: list[list[Todo]] = []
    num_bytes = 0
    for todo in ordered:
        size = size_of(todo.item)
        if not made or num_bytes + size > most_bytes or len(made[-1]) >= most_files:
            made.append([])
            num_bytes = 0
        made[-1].append(todo)
        num_bytes += size
    return made


def batch_name(batch: Sequence[Todo]) -> str:
    """The same for the same items."""
    return hashlib.sha256(b"".join(todo.key for todo in batch)).hexdigest()[:20]
