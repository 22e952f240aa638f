"""Tables of a PDF page where their lines are ruled: the grid that the lines span, and the words in its cells."""

import ctypes
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ray_ft.data.formats.pdf.page import Table

if TYPE_CHECKING:
    import pypdfium2

MIN_LINES, MAX_LINES = 4, 500  # of a page: fewer rule no table, more are a drawing
MAX_OBJECTS = 5000  # looked at on a page
MAX_THICKNESS, MIN_LENGTH = 2.5, 8.0  # points
SAME = 3.0  # points between places that count as one

Ruling = tuple[float, float, float, float]  # left, bottom, right, top


def ruled_tables(page: "pypdfium2.PdfPage", words: "pypdfium2.PdfTextPage") -> tuple[tuple[Table, ...], int, float]:
    """The page's tables from top to bottom, how many images it has, and which share of it the largest takes."""
    rulings, num_images, largest = _rulings(page.raw)
    covered = largest / max(1.0, page.get_width() * page.get_height()) if largest else 0.0
    if not MIN_LINES <= len(rulings) <= MAX_LINES:
        return (), num_images, covered
    tables = [table for group in _groups(rulings) if (table := _table(group, words)) is not None]
    return tuple(sorted(tables, key=lambda t: -t.top)), num_images, covered


def _rulings(page: Any) -> tuple[list[Ruling], int, float]:
    """Straight thin strokes and the edges of boxes; counts images on the way, and the area of the largest."""
    import pypdfium2.raw as pdfium

    found: list[Ruling] = []
    num_images, largest = 0, 0.0
    bounds = [ctypes.c_float() for _ in range(4)]
    refs = [ctypes.byref(value) for value in bounds]
    for i in range(min(pdfium.FPDFPage_CountObjects(page), MAX_OBJECTS)):
        thing = pdfium.FPDFPage_GetObject(page, i)
        kind = pdfium.FPDFPageObj_GetType(thing)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            num_images += 1
            if pdfium.FPDFPageObj_GetBounds(thing, *refs):
                left, bottom, right, top = (value.value for value in bounds)
                largest = max(largest, (right - left) * (top - bottom))
        if kind != pdfium.FPDF_PAGEOBJ_PATH or len(found) > MAX_LINES:
            continue
        if pdfium.FPDFPageObj_GetBounds(thing, *refs):
            left, bottom, right, top = (value.value for value in bounds)
            found += _edges((left, bottom, right, top), pdfium.FPDFPath_CountSegments(thing))
    return found, num_images, largest


def _edges(box: Ruling, num_segments: int) -> Iterator[Ruling]:
    """A thin box is a line; a box of four or five segments is drawn by its four edges."""
    left, bottom, right, top = box
    thin_x, thin_y = right - left <= MAX_THICKNESS, top - bottom <= MAX_THICKNESS
    if thin_x != thin_y:
        if max(right - left, top - bottom) >= MIN_LENGTH:
            yield box
    elif not thin_x and num_segments in (4, 5):
        yield from ((left, top, right, top), (left, bottom, right, bottom))
        yield from ((left, bottom, left, top), (right, bottom, right, top))


def _groups(rulings: Sequence[Ruling]) -> list[list[Ruling]]:
    """Lines that touch each other, directly or through others."""
    groups: list[list[Ruling]] = []
    for ruling in rulings:
        near = [g for g in groups if any(_touch(ruling, other) for other in g)]
        groups = [g for g in groups if not any(g is n for n in near)]
        groups.append([ruling, *(other for group in near for other in group)])
    return groups


def _touch(a: Ruling, b: Ruling) -> bool:
    return a[0] <= b[2] + SAME and b[0] <= a[2] + SAME and a[1] <= b[3] + SAME and b[1] <= a[3] + SAME


def _table(group: Sequence[Ruling], words: "pypdfium2.PdfTextPage") -> Table | None:
    """The words in each cell of the grid; None for a frame or a stray line."""
    ys = _places((r[1] + r[3]) / 2 for r in group if r[3] - r[1] <= MAX_THICKNESS)
    xs = _places((r[0] + r[2]) / 2 for r in group if r[2] - r[0] <= MAX_THICKNESS)
    if len(ys) < 3 or len(xs) < 3:  # at least two rows and two columns
        return None
    rows = []
    for bottom, top in reversed([*pairwise(ys)]):
        cells = [
            " ".join(words.get_text_bounded(left=left, bottom=bottom, right=right, top=top).split())
            for left, right in pairwise(xs)
        ]
        if any(cells):
            rows.append(" | ".join(cells))
    return Table("\n".join(rows), ys[0], ys[-1]) if len(rows) > 1 else None


def _places(values: Iterator[float]) -> list[float]:
    """Sorted, those that are nearly the same once."""
    found: list[float] = []
    for value in sorted(values):
        if not found or value - found[-1] > SAME:
            found.append(value)
    return found
