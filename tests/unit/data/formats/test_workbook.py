"""Sheets as they are shown: values in their formats, merged cells, formulas, several tables."""

import datetime
import io
import time
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest

from ray_ft.data.formats.office.number_formats import shown_number, shown_time
from ray_ft.data.formats.office.workbook import parse_xlsx


def _blocks(fill: Callable[[Any], object]) -> list[tuple[str, str]]:
    book = openpyxl.Workbook()
    book.active.title = "S"
    fill(book.active)
    made = io.BytesIO()
    book.save(made)
    parsed = parse_xlsx(made.getvalue())
    assert all(b.text == parsed.text[b.start : b.end] for b in parsed.blocks)
    return [(f"h{b.level}" if b.type == "heading" else b.type, b.text) for b in parsed.blocks]


def _rows(*rows: list[Any]) -> Callable[[Any], None]:
    def fill(sheet: Any) -> None:
        for row in rows:
            sheet.append(row)

    return fill


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        (0.25, "0%", "25%"),
        (0.1234, "0.0%", "12.3%"),
        (1204.5, "#,##0.00", "1,204.50"),
        (1204.5, '#,##0.00 "€"', "1,204.50 €"),
        (1204.5, "[$€-407] #,##0.00", "€ 1,204.50"),
        (1204.5, '"$"#,##0_);("$"#,##0)', "$1,204"),
        (-1204.5, '"$"#,##0_);("$"#,##0)', "($1,204)"),
        (-3, "0;[Red]-0", "-3"),
        (-3, "0", "-3"),
        (3.5, '0.0" kg"', "3.5 kg"),
        (3.5, "0.0\\ \\k\\g", "3.5 kg"),
        (7, "0000", "0007"),
        (3.0, "0.##", "3"),
        (3.25, "0.0#", "3.25"),
        (3.2, "0.0#", "3.2"),
        (0, '0;-0;"none"', "none"),
        (12345678, "0.0,,", "12.3"),
        (12345, "0.00E+00", "1.23E+04"),
        (0.5, "# ?/?", "0.5"),
        (5, "General", "5"),
        (0.1 + 0.2, "", "0.3"),
        (5, "dd.mm.yyyy", "5"),
    ],
)
def test_a_number_in_its_format(value: float, code: str, words: str) -> None:
    assert shown_number(value, code) == words


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        (datetime.datetime(2024, 3, 1), "dd.mm.yyyy", "01.03.2024"),
        (datetime.datetime(2024, 3, 1), "d. mmmm yyyy", "1. March 2024"),
        (datetime.datetime(2024, 3, 1), "mmm\\-yy", "Mar-24"),
        (datetime.datetime(2024, 3, 1), "[$-409]dddd, mmmm d, yyyy;@", "Friday, March 1, 2024"),
        (datetime.datetime(2024, 3, 1, 14, 5, 9), "yyyy-mm-dd hh:mm", "2024-03-01 14:05"),
        (datetime.datetime(2024, 3, 1, 14, 5, 9), "h:mm AM/PM", "2:05 PM"),
        (datetime.time(7, 30), "hh:mm", "07:30"),
        (datetime.time(7, 30), "mm:ss", "30:00"),
        (datetime.datetime(2024, 3, 1), "", "2024-03-01"),
        (datetime.datetime(2024, 3, 1, 14, 5), "", "2024-03-01 14:05:00"),
        (datetime.timedelta(hours=26, minutes=3), "[h]:mm", "26:03:00"),
    ],
)
def test_a_time_in_its_format(value: Any, code: str, words: str) -> None:
    assert shown_time(value, code) == words


def test_cells_are_read_as_they_are_shown() -> None:
    def fill(sheet: Any) -> None:
        sheet.append(["Part", "Weight", "Share", "Bought", "Old", "Ready"])
        sheet.append(["Valve", 3.5, 0.25, datetime.date(2024, 3, 1), 0.1 + 0.2, True])
        for cell, code in (("B2", '0.0 "kg"'), ("C2", "0%"), ("D2", "dd/mm/yyyy")):
            sheet[cell].number_format = code

    assert _blocks(fill) == [
        ("h1", "S"),
        ("table", "Part | Weight | Share | Bought | Old | Ready\nValve | 3.5 kg | 25% | 01/03/2024 | 0.3 | TRUE"),
    ]


def test_a_formula_without_a_value_is_shown_itself() -> None:
    assert _blocks(_rows(["a", "b"], [1, 2], ["Sum", "=SUM(A2:B2)"]))[1] == ("table", "a | b\n1 | 2\nSum | =SUM(A2:B2)")


def test_merged_cells_stand_in_each_row_they_reach_over() -> None:
    def fill(sheet: Any) -> None:
        _rows(["Room", "Season", None], [None, "Low", "High"], ["Single", 40, 60], [None, 45, 66])(sheet)
        for cells in ("A1:A2", "B1:C1", "A3:A4"):
            sheet.merge_cells(cells)

    assert _blocks(fill)[1] == ("table", "Room | Season\nRoom | Low | High\nSingle | 40 | 60\nSingle | 45 | 66")


def test_tables_below_each_other_have_their_own_titles_and_heads() -> None:
    rows = [["Prices"], ["Room", "Euro"], ["Single", 40], [], ["Times"], ["Day", "Opens"], ["Monday", 8]]
    assert _blocks(_rows(*rows)) == [
        ("h1", "S"), ("h2", "Prices"), ("table", "Room | Euro\nSingle | 40"), ("h2", "Times"),
        ("table", "Day | Opens\nMonday | 8"),
    ]  # fmt: skip


def test_tables_beside_each_other_are_two() -> None:
    rows = [["Room", "Euro", None, "Day", "Opens"], ["Single", 40, None, "Monday", 8], ["Double", 60]]
    assert _blocks(_rows(*rows)) == [
        ("h1", "S"),
        ("table", "Room | Euro\nSingle | 40\nDouble | 60"),
        ("table", "Day | Opens\nMonday | 8"),
    ]


@pytest.mark.parametrize(
    ("rows", "blocks"),
    [
        ([["a", "b"], [1, 2], [], [3, 4]], [("table", "a | b\n1 | 2"), ("table", "a | b\n3 | 4")]),
        ([["Prices"], ["a", "b"], [1, 2]], [("paragraph", "Prices"), ("table", "a | b\n1 | 2")]),
        ([["a", None, "b"], [1, None, 2]], [("table", "a |  | b\n1 |  | 2")]),
        ([["Only this is said here."]], [("paragraph", "Only this is said here.")]),
        ([[None, None], [None, "a", "b"], [None, 1, 2]], [("table", "a | b\n1 | 2")]),
        ([["a"], ["b"], ["c"]], [("table", "a\nb\nc")]),
    ],
)
def test_other_sheets(rows: list[list[Any]], blocks: list[tuple[str, str]]) -> None:
    assert _blocks(_rows(*rows))[1:] == blocks


def test_odd_formats_take_little_time() -> None:
    begun = time.process_time()
    for code in ("[" * 20_000, '"' * 20_001, "0" * 20_000, "#,##0;" * 5_000, "y" * 20_000):
        shown_number(1.5, code)
        shown_time(datetime.datetime(2024, 3, 1), code)
    assert time.process_time() - begun < 5
