"""Reads a slice of a dataset into records, from its piece where it has one; what cannot be read is a record too."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from ray_ft.data.documents import Record
from ray_ft.data.ingest.datasets import DatasetFile, Slice
from ray_ft.data.ingest.parts.lines import TOO_LONG, numbered_lines, open_lines
from ray_ft.data.ingest.parts.tables import Lost, arrow_rows, numbered_rows, parquet_batches, read_rows
from ray_ft.data.ingest.records import TOOK_MEMORY, Origin, read_line, read_value
from ray_ft.data.sources.unpacked import go_to
from ray_ft.storage import MissingObject, Store, is_uri

CUT_SHORT = "the file ends early"


def read_slice(part: Slice) -> list[Record]:
    """Every line or row of a slice; those that cannot be used carry the reason."""
    return list(_line_records(part) if part.file.kind == "lines" else _row_records(part))


def _line_records(part: Slice) -> Iterator[Record]:
    file, number = part.file, part.first - 1
    try:
        with _open_part(part) as stream:
            for number, line, size in numbered_lines(stream, part.end - part.start, part.first):
                if line is None:
                    yield _unread(file, number, size, TOO_LONG, f"{size:,} bytes")
                elif part.is_cut_short and not line.endswith(b"\n"):
                    break
                elif line.strip():
                    line = line.removesuffix(b"\n").removeprefix(b"\xef\xbb\xbf")
                    yield _read_line(line, _named(file, number))
            else:
                number += 1
    except EOFError:
        number += 1
    if part.is_cut_short:
        yield _unread(file, number, 0, CUT_SHORT)


def _read_line(line: bytes, origin: Origin) -> Record:
    try:
        return read_line(line, origin)
    except MemoryError:
        return Record(origin.name, origin.dataset, len(line), reason=TOOK_MEMORY)


def _row_records(part: Slice) -> Iterator[Record]:
    for row in _rows_of(part):
        if isinstance(row, Lost):
            note = f"rows {row.first + 1:,} to {row.end:,}" if row.end > row.first + 1 else ""
            yield _unread(part.file, row.first + 1, 0, row.reason, ": ".join(filter(None, (note, row.note))))
        else:
            number, value = row
            yield read_value(value, _named(part.file, number + 1), num_bytes=len(str(value)))


def _rows_of(part: Slice) -> Iterator[tuple[int, Any] | Lost]:
    """Each row under its number from 0, from its piece if there is one."""
    if part.file.kind == "arrow":
        return arrow_rows(part.file.location, part.start, part.end)
    if (piece := _open_piece(part)) is not None:
        return numbered_rows(read_rows(piece))
    return numbered_rows(parquet_batches(part.file.location, part.start, part.end))


def _open_part(part: Slice) -> IO[bytes]:
    """A stream that begins where the slice does."""
    import pyarrow as pa

    if (piece := _open_piece(part)) is not None:
        return io.BufferedReader(pa.CompressedInputStream(piece, "zstd"))
    stream = open_lines(part.file.location, part.file.name)
    go_to(stream, part.start)
    return stream


def _open_piece(part: Slice) -> Any:
    """The open piece of a slice; None where there is none."""
    import pyarrow as pa

    if not part.piece:
        return None
    try:
        return pa.BufferReader(Store(part.piece).read("")) if is_uri(part.piece) else pa.OSFile(part.piece)
    except (FileNotFoundError, MissingObject):  # it is read from the file itself
        return None


def _unread(file: DatasetFile, number: int, num_bytes: int, reason: str, note: str = "") -> Record:
    """What is told of lines that are not read."""
    return Record(_named(file, number).name, file.origin.dataset, num_bytes, reason=reason, note=note)


def _named(file: DatasetFile, number: int) -> Origin:
    return replace(file.origin, name=f"{file.name}:{number}")
