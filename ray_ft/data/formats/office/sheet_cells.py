"""The cells of a sheet as words: openpyxl's reader of rows, with cells that are not made into objects first."""

from typing import Any

from ray_ft.data.formats.office.number_formats import Shown

DIGITS = "0123456789"
LONG = 11  # characters of a number that may be one which binary numbers cannot hold exactly
MAX_LETTERS = 3


def reader_of(sheet: Any, source: Any, shown: Shown) -> Any:
    """A reader whose `parse()` gives (row, [(column, words), ...]); a formula without a value is its own words."""
    from openpyxl.utils.datetime import from_excel, from_ISO8601
    from openpyxl.worksheet._reader import FORMULA_TAG, INLINE_STRING, VALUE_TAG, WorkSheetParser

    book = sheet.parent
    strings = sheet._shared_strings
    dates, spans = book._date_formats, book._timedelta_formats
    columns: dict[str, int] = {}

    def number_words(value: str, style: int) -> str:
        number = float(value) if "." in value or "e" in value or "E" in value else int(value)
        if style not in dates:
            return shown(number, style)
        try:
            return shown(from_excel(number, book.epoch, timedelta=style in spans), style)
        except (OverflowError, ValueError):
            return value  # no date has this number

    class Reader(WorkSheetParser):  # type: ignore[misc]
        col_counter: int

        def parse_cell(self, element: Any) -> tuple[int, str]:
            value = formula = inline = None
            for child in element:
                tag = child.tag
                if tag == VALUE_TAG:
                    value = child.text
                elif tag == FORMULA_TAG:
                    formula = child.text
                elif tag == INLINE_STRING:
                    inline = "".join(child.itertext())
            self.col_counter += 1
            if place := element.get("r"):
                letters = place.rstrip(DIGITS)
                column = columns.get(letters)
                if column is None:
                    column = columns[letters] = column_of(letters)
                self.col_counter = column
            if not value:
                words = inline or (f"={formula}" if formula else "")
                return self.col_counter, " ".join(words.split())
            kind = element.get("t", "n")
            if kind == "s":
                return self.col_counter, " ".join(str(strings[int(value)]).split())
            style = int(element.get("s", 0))
            if kind == "n":
                if len(value) <= LONG and style not in dates and not shown.is_formatted(style) and "E" not in value:
                    return self.col_counter, value
                return self.col_counter, number_words(value, style)
            if kind == "b":
                return self.col_counter, "FALSE" if value == "0" else "TRUE"
            if kind == "d":
                return self.col_counter, shown(from_ISO8601(value), style)
            return self.col_counter, " ".join(value.split())

    return Reader(source, strings, data_only=True, epoch=book.epoch, date_formats=dates, timedelta_formats=spans)


def column_of(letters: str) -> int:
    """The number of a column, from 1; 0 for what names none."""
    number = 0
    for letter in letters[: MAX_LETTERS + 1].upper():
        if not "A" <= letter <= "Z":
            return 0
        number = 26 * number + ord(letter) - ord("A") + 1
    return number
