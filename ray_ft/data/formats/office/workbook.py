"""Workbooks by openpyxl: each sheet's name as a heading and its tables as their values are shown; a page is a sheet."""

import io
import warnings
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed, still_working
from ray_ft.data.formats.office import check_archive
from ray_ft.data.formats.office.number_formats import Shown
from ray_ft.data.formats.office.sheet_cells import reader_of
from ray_ft.data.formats.office.sheet_tables import Merge, pieces_of

MAX_COLUMNS, MAX_ROWS = 200, 100_000
BREATH = 2_000  # rows between signs of life


def parse_xlsx(data: bytes) -> Parsed:
    """Blocks sheet by sheet, values rather than formulas. Raises Unreadable for what must not be opened."""
    import openpyxl

    check_archive(data)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        sheets = [s for s in book.worksheets if s.sheet_state == "visible"]
        shown = Shown.of(book)
        pieces: list[Piece] = []
        for number, sheet in enumerate(sheets, start=1):
            pieces += pieces_of(sheet.title, *_cells(sheet, shown), page=number)
            still_working()
        title = (book.properties.title or "").strip()
    finally:
        book.close()
    text, blocks = assemble(pieces)
    return Parsed(text, blocks, {"pages": str(len(sheets))} | ({"title": title} if title else {}))


def _cells(sheet: Any, shown: Shown) -> tuple[dict[int, dict[int, str]], list[Merge]]:
    """The cells that say something, by row and column, and which of them reach over others."""
    rows: dict[int, dict[int, str]] = {}
    with sheet._get_source() as source, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = reader_of(sheet, source, shown)
        for number, cells in reader.parse():
            if number > MAX_ROWS:
                break
            if found := {column: words for column, words in cells if words and column <= MAX_COLUMNS}:
                rows[number] = found
            if number % BREATH == 0:
                still_working()
    merged = reader.merged_cells.mergeCell if reader.merged_cells is not None else ()
    return rows, [merge for one in merged if (merge := Merge.of(one.ref)) is not None]
