"""Tables as CSV or TSV: blocks of whole records as they stand in the file."""

import csv
from collections.abc import Iterator

from ray_ft.data.formats.base import Lines, Parsed
from ray_ft.rows import Block

RECORDS_PER_BLOCK = 50
SNIFFED = 8192  # characters
MAX_FIELD = 1 << 24


def parse_csv(text: str) -> Parsed:
    """Tables of some records each, a quoted newline being no end of one; the columns' names are metadata."""
    csv.field_size_limit(MAX_FIELD)
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:SNIFFED], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    lines = Lines(text)
    reader = csv.reader((line + "\n" for line in lines.lines), dialect, strict=False)
    names = [name.strip() for name in next(iter(reader), [])]
    metadata = {"columns": ", ".join(names)[:1000]} if any(names) else {}
    return Parsed(text, tuple(_blocks(lines, reader.line_num, reader)), metadata)


def _blocks(lines: Lines, position: int, reader: "csv._reader") -> Iterator[Block]:  # type: ignore[name-defined,unused-ignore]
    """Blocks that end where a record does; `position` is the line after the first record."""
    first, num_records = 0, 1
    for _ in reader:
        position = reader.line_num
        num_records += 1
        if num_records >= RECORDS_PER_BLOCK:
            block = lines.block("table", first, min(position, len(lines)))
            if block is not None:
                yield block
            first, num_records = position, 0
    block = lines.block("table", first, len(lines)) if first < len(lines) else None
    if block is not None:
        yield block
