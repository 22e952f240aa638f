"""Tables as CSV or TSV: blocks of whole records as they stand in the file.

Long tables of measurements, whose rows say the same words with other numbers, are no text and are left out.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from ray_ft.data.formats.base import Lines, Parsed, Unreadable
from ray_ft.rows import Block

RECORDS_PER_BLOCK = 50
SNIFFED = 8192  # characters
MAX_FIELD = 1 << 24
MIN_MEASURED, MAX_LOOKED_AT = 60, 600  # records of a table that may be measurements, and those that are looked at
MIN_NEW = 0.4  # share of the cells of a column that say what it does not say above: words, or a measured number
WORD = re.compile(r"[^\W\d_]{3}")
MEASURED = re.compile(r"[-+]?\d{1,15}[.,]\d{1,20}(?:[eE][-+]?\d{1,3})?")


def parse_csv(text: str) -> Parsed:
    """Tables of some records each, a quoted newline being no end of one; the columns' names are metadata.

    Raises Unreadable for measurements.
    """
    csv.field_size_limit(MAX_FIELD)
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(text[:SNIFFED], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    lines = Lines(text)
    reader = csv.reader((line + "\n" for line in lines.lines), dialect)
    names = [name.strip() for name in next(reader, [])]
    looked_at, ends = [], []
    for record in islice(reader, MAX_LOOKED_AT):
        looked_at.append(record)
        ends.append(reader.line_num)
    if _is_measured(looked_at):
        raise Unreadable("data, not text", "a table of measurements")
    metadata = {"columns": ", ".join(names)[:1000]} if any(names) else {}
    return Parsed(text, tuple(_blocks(lines, chain(ends, (reader.line_num for _ in reader)))), metadata)


def _is_measured(records: list[list[str]]) -> bool:
    """Whether a long table has a column of ever other numbers, and none with words of its own in its rows, such as a
    name, a title or a sentence."""
    if len(records) < MIN_MEASURED:
        return False
    is_measured = False
    for column in range(max(map(len, records))):
        cells = [record[column].strip() for record in records if column < len(record)]
        if len({cell for cell in cells if WORD.search(cell)}) >= MIN_NEW * len(records):
            return False
        is_measured |= len({cell for cell in cells if MEASURED.fullmatch(cell)}) >= MIN_NEW * len(records)
    return is_measured


def _blocks(lines: Lines, ends: Iterable[int]) -> Iterator[Block]:
    """Blocks that end where a record does; `ends` are the lines after all records but the first."""
    first, num_records = 0, 1
    for end in ends:
        num_records += 1
        if num_records >= RECORDS_PER_BLOCK:
            block = lines.block("table", first, min(end, len(lines)))
            if block is not None:
                yield block
            first, num_records = end, 0
    block = lines.block("table", first, len(lines)) if first < len(lines) else None
    if block is not None:
        yield block
