"""What prepare works on: files and slices, in order, each under a key that says when its work can be taken over.

Groups end where the names of their files say so, as far as sizes allow: a file that comes or goes changes the groups
around it and leaves the others as they are.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft.config import DataConfig
from ray_ft.data.ingest.datasets import (
    DatasetFile,
    Slice,
    content_of,
    cut_into_slices,
    dataset_files,
    has_changed,
    list_datasets,
)
from ray_ft.data.ingest.items import UNREAD, Item, Numbers, Todo, item_key
from ray_ft.data.ingest.known import Known, Notes
from ray_ft.data.ingest.listed import Listed
from ray_ft.data.ingest.listing import SourcesDigest, each_file, source_files
from ray_ft.errors import DataError

ROWS_PER_GROUP = 256  # of packed training data for each recipe, at most; the last row of a group is not full
BYTES_PER_TOKEN = 4
MIN_GROUP_BYTES, MAX_GROUP_BYTES = 512 * 2**10, 32 * 2**20
MAX_GROUP_FILES = 1000
LEAST_FILL = 0.25  # of a group, before a name may end it


def list_items(data: DataConfig, max_seq_len: int) -> Iterator[Item]:
    """Files of data.sources in the order of their paths, then slices of data.datasets."""
    if data.sources:
        yield from each_file(data)
    yield from slices_of(list_datasets(data), max_seq_len)


def slices_of(files: list[DatasetFile], max_seq_len: int) -> list[Item]:
    """Datasets in slices of a group each."""
    return [*cut_into_slices(files, slice_bytes=group_bytes(max_seq_len))]


def files_read(data: DataConfig, named: str) -> Iterator[tuple[Path, str]]:
    """What prepare reads of a source or a dataset of this machine, and of a source also what not, with the reason."""
    if named in data.sources:
        yield from source_files(named, data)
    else:
        yield from ((file, "") for file in dataset_files(named))


def keyed(items: Iterable[Item], known: Known, settings: str = "") -> Iterator[Todo]:
    """The items, each under a key from its content, its name and how it is parsed; no file is opened for it.

    Where nobody knows what a file holds, its size and times stand for that until it is read. Without settings the
    keys are those that `key_under` takes. Raises DataError for a dataset that changed since it was listed and cut.
    """
    tables: dict[str, str] = {}
    for item in items:
        if isinstance(item, Slice):
            yield _keyed_slice(item, settings, tables)
        elif item.reason:
            yield Todo(item_key(item, "", settings), item)
        else:
            content = known.content(item) or UNREAD
            yield Todo(item_key(item, content, settings), item, "" if item.content else content)


def _keyed_slice(item: Slice, settings: str, tables: dict[str, str]) -> Todo:
    """A slice under its key; `tables` holds what is known of files by now."""
    name = item.file.name
    if name not in tables:
        tables[name] = content_of(item.file)
        if has_changed(item.file, ""):
            raise DataError(f"data.datasets: {name} changed while it was listed; run prepare again")
    return Todo(item_key(item, tables[name], settings), item, tables[name])


def noted(listed: Listed, known: Path, began_ns: int) -> Mapping[str, Any]:
    """What the sources held when they were read, noted for the next run."""
    digest = SourcesDigest()
    with Notes(known, began_ns) as notes:
        for file, content, is_as_listed in listed.files():
            digest.add(file, content)
            if is_as_listed:
                notes.add(file, content)
    return digest.found()


def group_bytes(max_seq_len: int) -> int:
    """Bytes of source that fill some hundred rows."""
    return min(max(ROWS_PER_GROUP * max_seq_len * BYTES_PER_TOKEN, MIN_GROUP_BYTES), MAX_GROUP_BYTES)


def group_items(items: Listed, max_seq_len: int) -> list[range]:
    """Numbers of the items of each group: neighbours, at most `group_bytes` together; a slice is a group of its own."""
    weights = np.where(items.is_read, items.sizes, 0)
    fills = np.maximum(weights / group_bytes(max_seq_len), 1 / MAX_GROUP_FILES)
    ends = items.lots % np.uint64(_one_in(fills)) == 0
    groups: list[range] = []
    first, fill = 0, 0.0
    for i, (own, is_slice, may_end) in enumerate(
        zip(fills.tolist(), items.is_slice.tolist(), ends.tolist(), strict=True)
    ):
        if i > first and (fill + own > 1 + 1e-9 or is_slice):
            groups.append(range(first, i))
            first, fill = i, 0.0
        fill += own
        if is_slice or (fill >= LEAST_FILL and may_end):
            groups.append(range(first, i + 1))
            first, fill = i + 1, 0.0
    if first < len(fills):
        groups.append(range(first, len(fills)))
    return groups


def _one_in(fills: Numbers) -> int:
    """Of how many names one ends a group, so that groups are about half full: a power of two, which rarely changes."""
    mean = float(fills.sum()) / max(len(fills), 1)
    return 1 << max(0, round(math.log2(max(LEAST_FILL / max(mean, 1e-9), 1))))
