"""Workbooks by openpyxl: each sheet's name as a heading and its rows as tables; a block's page is its sheet."""

import io
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed, still_working
from ray_ft.data.formats.office import check_archive, row_text

ROWS_PER_BLOCK = 50  # each begins with the sheet's first row, which mostly names the columns
MAX_COLUMNS, MAX_ROWS = 200, 100_000


def parse_xlsx(data: bytes) -> Parsed:
    """Blocks sheet by sheet, values rather than formulas. Raises Unreadable for what must not be opened."""
    import openpyxl

    check_archive(data)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        sheets = [s for s in book.worksheets if s.sheet_state == "visible"]
        pieces = [piece for number, sheet in enumerate(sheets, start=1) for piece in _sheet(sheet, number)]
        title = (book.properties.title or "").strip()
    finally:
        book.close()
    text, blocks = assemble(pieces)
    return Parsed(text, blocks, {"pages": str(len(sheets))} | ({"title": title} if title else {}))


def _sheet(sheet: Any, page: int) -> Iterator[Piece]:
    rows: list[str] = []
    header = ""
    for row in sheet.iter_rows(max_col=MAX_COLUMNS, max_row=MAX_ROWS, values_only=True):
        words = row_text(row)
        if not words:
            continue
        if not header:
            header = words
            yield Piece("heading", sheet.title, level=1, page=page)
        rows.append(words)
        if len(rows) >= ROWS_PER_BLOCK:
            yield Piece("table", "\n".join(rows), page=page)
            still_working()
            rows = [header]
    if rows and rows != [header]:
        yield Piece("table", "\n".join(rows), page=page)
    elif rows:
        yield Piece("paragraph", header, page=page)
