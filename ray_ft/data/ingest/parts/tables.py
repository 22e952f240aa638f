"""Rows of Parquet files and of what `save_to_disk` wrote, some at a time; what of them cannot be read is said in place.

A row group is read page by page: what is held is a page of each column and some rows, however large the group is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.data.ingest.parts.lines import MAX_LINE_BYTES, TOO_LONG
from ray_ft.data.ingest.records import TOOK_MEMORY
from ray_ft.errors import first_line

MAX_BATCH_ROWS, BATCH_BYTES = 256, 2 * 2**20
READ_BYTES = 2**20  # of a column at a time
UNREADABLE = "rows that cannot be read"


@dataclass(frozen=True)
class Lost:
    """Rows of a table that give nothing, from `first` to before `end`, counted from 0."""

    first: int
    end: int
    reason: str
    note: str = ""


Part = tuple[int, Any]  # number of the first row, and a batch of rows
Read = Iterator["Part | Lost"]


@dataclass(frozen=True)
class RowGroup:
    """Rows of a Parquet file that are packed together: from `first` to before `end`, of so many bytes unpacked."""

    number: int
    first: int
    end: int
    num_bytes: int


def row_groups(metadata: Any) -> list[RowGroup]:
    """All of a file."""
    groups: list[RowGroup] = []
    first = 0
    for number in range(metadata.num_row_groups):
        about = metadata.row_group(number)
        groups.append(RowGroup(number, first, first + about.num_rows, about.total_byte_size))
        first += about.num_rows
    return groups


def parquet_batches(location: str, start: int, end: int, *, mapped: bool = False) -> Read:
    """Rows of a range. `mapped` leaves packed pages in the file: less memory, but address space for all of it."""
    import pyarrow.parquet as pq

    options = {"memory_map": True} if mapped else {"buffer_size": READ_BYTES}
    with pq.ParquetFile(location, pre_buffer=False, page_checksum_verification=True, **options) as table:
        for group in row_groups(table.metadata):
            if group.first < end and group.end > start:
                yield from _of_group(table, group, start, end)


def _of_group(table: Any, group: RowGroup, start: int, end: int) -> Read:
    """Rows of a range that lie in a group; the first that cannot be read takes those behind it along."""
    place = group.first
    each = group.num_bytes // max(group.end - group.first, 1)
    size = min(max(BATCH_BYTES // max(each, 1), 1), MAX_BATCH_ROWS)
    batches = table.iter_batches(batch_size=size, row_groups=[group.number], use_threads=False)
    while place < min(group.end, end):
        try:
            batch = next(batches, None)
        except MemoryError:
            yield Lost(
                max(place, start), min(group.end, end), TOOK_MEMORY, "a page is larger than data.parse_memory_gib"
            )
            return
        except Exception as error:  # Arrow's share no base, and a damaged file may raise any
            yield Lost(max(place, start), min(group.end, end), UNREADABLE, first_line(error)[:200])
            return
        if batch is None:
            yield Lost(max(place, start), min(group.end, end), UNREADABLE, "the row group ends early")
            return
        first, last = max(start - place, 0), min(end - place, len(batch))
        if first < last:
            yield from without_long(place + first, batch.slice(first, last - first))
        place += len(batch)


def without_long(first: int, batch: Any) -> Read:
    """The rows of a batch, without those that are longer than a line may be."""
    if batch.nbytes <= MAX_LINE_BYTES:
        yield first, batch
        return
    start = 0
    for i in range(len(batch)):
        if (size := batch.slice(i, 1).nbytes) > MAX_LINE_BYTES:
            if i > start:
                yield first + start, batch.slice(start, i - start)
            yield Lost(first + i, first + i + 1, TOO_LONG, f"{size:,} bytes")
            start = i + 1
    if start < len(batch):
        yield first + start, batch.slice(start)


def arrow_rows(location: str, start: int, end: int) -> Iterator[tuple[int, Any] | Lost]:
    """Rows of a range of a saved dataset, each under its number."""
    from datasets import load_from_disk

    place = start
    try:
        dataset = load_from_disk(location)
        while place < end:
            rows = dataset.select(range(place, min(place + MAX_BATCH_ROWS, end))).to_list()
            yield from enumerate(rows, start=place)
            place += len(rows)
    except Exception as error:  # pyarrow's, datasets' and json's share no base
        yield Lost(place, end, UNREADABLE, first_line(error)[:200])


def numbered_rows(parts: Read) -> Iterator[tuple[int, Any] | Lost]:
    """Every row under its number."""
    for part in parts:
        if isinstance(part, Lost):
            yield part
        else:
            yield from enumerate(part[1].to_pylist(), start=part[0])


# --- pieces -----------------------------------------------------------------------------------------------------------


def write_rows(path: Path, parts: Read, schema: Any) -> None:
    """Keep rows in a file of their own, in which each batch knows its place."""
    import pyarrow as pa

    with pa.ipc.new_stream(str(path), schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for part in parts:
            if isinstance(part, Lost):
                where = {"first": part.first, "end": part.end, "reason": part.reason, "note": part.note}
                empty = pa.RecordBatch.from_arrays([pa.array([], type=f.type) for f in schema], schema=schema)
                writer.write_batch(empty, custom_metadata={key: str(value) for key, value in where.items()})
            else:
                writer.write_batch(part[1], custom_metadata={"first": str(part[0])})


def read_rows(file: Any) -> Read:
    """What `write_rows` kept, from an open file."""
    import pyarrow as pa

    with file, pa.ipc.open_stream(file) as reader:
        while True:
            try:
                part = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            about = {key.decode(): value.decode() for key, value in part.custom_metadata.items()}
            first = int(about["first"])
            if "end" in about:
                yield Lost(first, int(about["end"]), about["reason"], about["note"])
            else:
                yield first, part.batch
