"""The lines of a PDF page with their size, weight and place, as PDFium tells them."""

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ray_ft.data.formats.pdf.layout import Line

if TYPE_CHECKING:
    import pypdfium2

BOLD_WEIGHT = 600
CLEANED = {0: None, 13: " ", 0xFFFE: None}  # PDFium joins a word that was divided, with a mark where the hyphen was


def lines_of(words: "pypdfium2.PdfTextPage") -> Iterator[Line]:
    """Lines of a page, measured at one character in the middle of each: asking for every one would be the slow part."""
    import pypdfium2.raw as pdfium

    text = words.get_text_range()
    raw = words.raw
    exact = len(text) == words.count_chars()
    box = [ctypes.c_double() for _ in range(4)]  # left, right, bottom, top
    loose, matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    refs = [ctypes.byref(value) for value in box]

    def at(position: int) -> int:
        return position if exact else int(pdfium.FPDFText_GetCharIndexFromTextIndex(raw, position))

    offset = 0
    for part in text.split("\n"):
        line = part.strip("\r \u00a0\0")
        if line:
            first = at(offset + part.find(line[0]))
            middle = at(offset + _letter_near_middle(part))
            pdfium.FPDFText_GetCharBox(raw, first, *refs)
            left = box[0].value
            pdfium.FPDFText_GetLooseCharBox(raw, middle, ctypes.byref(loose))
            pdfium.FPDFText_GetMatrix(raw, middle, ctypes.byref(matrix))
            scale = (matrix.c**2 + matrix.d**2) ** 0.5 or 1.0
            size = round(2 * pdfium.FPDFText_GetFontSize(raw, middle) * scale) / 2
            is_bold = pdfium.FPDFText_GetFontWeight(raw, middle) >= BOLD_WEIGHT
            yield Line(line.translate(CLEANED), size, is_bold, left, loose.bottom, loose.top)
        offset += len(part) + 1


def _letter_near_middle(part: str) -> int:
    middle = len(part) // 2
    return next((i for i in (*range(middle, len(part)), *range(middle)) if part[i].isalnum()), middle)
