"""The lines of a PDF page with their size, weight and place, as PDFium tells them.

Pages whose text runs up, down or upside down are turned, and columns that were drawn row by row are put one behind the
other, so that what follows sees lines as a reader does.
"""

import ctypes
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import atan2, pi
from typing import TYPE_CHECKING, NamedTuple

from ray_ft.data.formats.pdf.columns import Gap, arranged, gutter_of, is_wide, looked_at, may_have_gutter
from ray_ft.data.formats.pdf.page import Line
from ray_ft.data.formats.pdf.places import Places
from ray_ft.data.formats.pdf.spaces import Spaces

if TYPE_CHECKING:
    import pypdfium2

BOLD_WEIGHT = 600
CLEANED = {0: None, 13: " ", 0xFFFE: None}  # PDFium joins a word that was divided, with a mark where the hyphen was
BOLD_NAME = re.compile(r"bold|black|heavy|cmbx|-bd|demi(?!-?light)", re.IGNORECASE)
PLAIN_NAME = re.compile(r"roman|regular|italic|oblique|light|book|medium|cmr\d|cmti", re.IGNORECASE)
MONO_NAME = re.compile(
    r"courier|mono|consol|menlo|typewriter|cmtt|fixed|letter ?gothic|lucida ?sans ?typ|sourcecode", re.I
)
MAX_TURN = 0.17  # of a quarter, that lines may be off; what is more is written across the page
MAX_COLUMNS_DEEP = 2
NAME_BYTES = 96
AROUND = "\r \u00a0\0"  # a line, that is none of it


class _Part(NamedTuple):
    """A stretch of the page's text that is a line, from its offset on."""

    text: str
    offset: int
    line: Line


class _Reader:
    """Asks PDFium about single characters of a page: for every one of them that would be the slow part."""

    def __init__(self, words: "pypdfium2.PdfTextPage", page: "pypdfium2.PdfPage | None") -> None:
        import pypdfium2.raw as pdfium

        self.pdfium, self.raw, self.page = pdfium, words.raw, page
        self.text = words.get_text_range()
        self.is_exact = len(self.text) == words.count_chars()
        self.box = [ctypes.c_double() for _ in range(4)]  # left, right, bottom, top
        self.refs = [ctypes.byref(value) for value in self.box]
        self.places = Places(words.raw)
        self.loose, self.matrix = pdfium.FS_RECTF(), pdfium.FS_MATRIX()
        self.loose_ref, self.matrix_ref = ctypes.byref(self.loose), ctypes.byref(self.matrix)
        self.name, self.flags = ctypes.create_string_buffer(NAME_BYTES), ctypes.c_int()

    def at(self, position: int) -> int:
        """PDFium's number of the character at a place of the text."""
        return position if self.is_exact else int(self.pdfium.FPDFText_GetCharIndexFromTextIndex(self.raw, position))

    def numbers(self, positions: Sequence[int]) -> Sequence[int]:
        """PDFium's numbers of characters."""
        return positions if self.is_exact else [self.at(position) for position in positions]

    def sides(self, position: int) -> tuple[float, float]:
        """Left and right end of a character, in points."""
        self.pdfium.FPDFText_GetCharBox(self.raw, self.at(position), *self.refs)
        return self.box[0].value, self.box[1].value

    def face(self, position: int) -> tuple[bool, bool]:
        """Whether a character is bold, and whether it is of a face for code; the face's name tells more than weight."""
        index = self.at(position)
        size = self.pdfium.FPDFText_GetFontInfo(self.raw, index, self.name, NAME_BYTES, ctypes.byref(self.flags))
        bold, mono = _face(self.name.value if 0 < size <= NAME_BYTES else b"")
        if bold is None:
            bold = self.pdfium.FPDFText_GetFontWeight(self.raw, index) >= BOLD_WEIGHT
        return bold, mono or bool(self.flags.value & 1)

    def part(self, text: str, offset: int) -> tuple[_Part, int] | None:
        """A line that begins at an offset, and in which quarter it is turned; None for one that holds nothing."""
        shown = text.strip(AROUND)
        if not shown:
            return None
        first = offset + text.find(shown[0])
        last, middle = first + len(shown) - 1, first + _letter_near_middle(shown)
        pdfium, loose, matrix = self.pdfium, self.loose, self.matrix
        index = self.at(middle)
        pdfium.FPDFText_GetLooseCharBox(self.raw, index, self.loose_ref)
        pdfium.FPDFText_GetMatrix(self.raw, index, self.matrix_ref)
        scale = (matrix.c**2 + matrix.d**2) ** 0.5 or 1.0
        size = round(2 * pdfium.FPDFText_GetFontSize(self.raw, index) * scale) / 2
        bold, mono = self.face(middle)
        if bold or mono:  # one word of a line makes no heading, and no listing
            for place in (first, last):
                other = self.face(place) if shown[place - first].isalnum() else (bold, mono)
                bold, mono = bold and other[0], mono and other[1]
        turned = _quarter(matrix.a, matrix.b)
        if turned == 0:
            left, right, bottom, top = self.sides(first)[0], self.sides(last)[1], loose.bottom, loose.top
        else:
            left, right, bottom, top = self._turned(first, last, turned)
        return _Part(text, offset, Line(_cleaned(shown), size, bold, left, bottom, top, right, mono)), turned

    def _turned(self, first: int, last: int, turned: int) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a line as they are once the page is turned."""
        x0, y0, width, height = self.page.get_mediabox() if self.page is not None else (0.0, 0.0, 0.0, 0.0)
        ends = []
        for place in (first, last):
            self.pdfium.FPDFText_GetCharBox(self.raw, self.at(place), *self.refs)
            ends.append(tuple(value.value for value in self.box))
        lefts, rights, bottoms, tops = zip(*ends, strict=True)
        low_x, high_x, low_y, high_y = min(lefts), max(rights), min(bottoms), max(tops)
        if turned == 1:
            return low_y - y0, high_y - y0, width - high_x, width - low_x
        if turned == 2:
            return width - high_x, width - low_x, height - high_y, height - low_y
        return height - high_y, height - low_y, low_x - x0, high_x - x0


def lines_of(
    words: "pypdfium2.PdfTextPage", page: "pypdfium2.PdfPage | None" = None, spaces: Spaces | None = None
) -> tuple[list[Line], int]:
    """Lines of a page, and by how many quarters it was turned for them. What is written across the page is left out."""
    reader = _Reader(words, page)
    found: list[tuple[_Part, int]] = []
    offset = 0
    for text in reader.text.split("\n"):
        made = reader.part(text, offset)
        found += [made] if made is not None and made[1] >= 0 else []
        offset += len(text) + 1
    sizes: Counter[int] = Counter()
    for part, turned in found:
        sizes[turned] += len(part.line.text)
    most = max(sizes, key=lambda turned: sizes[turned], default=0)
    upright = [part for part, turned in found if turned == most]
    if most == 0:
        upright = _by_columns(upright, reader, MAX_COLUMNS_DEEP)
        if spaces is not None:
            upright = [_spaced(part, reader, spaces) if spaces.looks_at(i) else part for i, part in enumerate(upright)]
    else:  # PDFium reads some of them from below
        upright.sort(key=lambda part: (-round(part.line.bottom), part.line.left))
    return [p.line for p in upright] + [p.line for p, turned in found if turned != most], most


def _spaced(part: _Part, reader: _Reader, spaces: Spaces) -> _Part:
    shown = part.text.strip(AROUND)
    mended = spaces.mended(shown, part.offset + part.text.find(shown[0]), part.line.size, reader)
    return part if mended == shown else part._replace(line=replace(part.line, text=_cleaned(mended)))


def _by_columns(parts: list[_Part], reader: _Reader, depth: int) -> list[_Part]:
    """The parts in the order of reading, where rows were drawn through several columns."""
    lines = [part.line for part in parts]
    if not depth or not is_wide(lines):
        return parts
    asked: dict[int, list[Gap]] = {}
    sample = looked_at(lines)
    for i in sample:
        asked[i] = _gaps(parts[i], reader)
        if not may_have_gutter(num_without=sum(not gaps for gaps in asked.values()), num_lines=len(sample)):
            return parts
    if gutter_of(lines, asked, is_sample=True) is None:
        return parts
    gaps = {i: asked[i] if i in asked else _gaps(part, reader) for i, part in enumerate(parts)}
    gutter = gutter_of(lines, gaps)
    if gutter is None:
        return parts
    split: list[_Part] = []
    for i, part in enumerate(parts):
        gap = next((g for g in gaps[i] if g.left <= gutter <= g.right), None)
        pieces = [(part.text, part.offset)]
        if gap is not None:
            head = gap.place - part.offset
            pieces = [(part.text[:head], part.offset), (part.text[head:], gap.place)]
        made = [reader.part(*piece) for piece in pieces]
        split += [one[0] for one in made if one is not None]
    order = arranged([part.line for part in split], gutter)
    return [p for side in order for p in _by_columns([split[i] for i in side], reader, depth - 1)]


def _gaps(part: _Part, reader: _Reader) -> list[Gap]:
    """Spaces of a line that are wider than between words."""
    text = part.text.rstrip(AROUND)
    start = len(text) - len(text.lstrip())
    spaces = [m.span() for m in re.finditer(r"[ \u00a0]+", text) if m.start() > start and m.end() < len(text)]
    around = [part.offset + place for first, end in spaces for place in (first - 1, end)]
    lefts, rights = reader.places.drawn(reader.numbers(around))
    return [
        Gap(right, left, part.offset + end, end - start)
        for (_, end), right, left in zip(spaces, rights[0::2], lefts[1::2], strict=True)
        if left - right >= part.line.size
    ]


def _quarter(a: float, b: float) -> int:
    """In which quarter a line runs: 0 to the right, 1 upwards, 2 upside down, 3 downwards; -1 across the page."""
    if b == 0 and a > 0:
        return 0
    quarters = atan2(b, a) / (pi / 2)
    return round(quarters) % 4 if abs(quarters - round(quarters)) <= MAX_TURN else -1


_FACES: dict[bytes, tuple[bool | None, bool]] = {}


def _face(name: bytes) -> tuple[bool | None, bool]:
    """Whether a face's name says that it is bold, None where it says nothing, and whether it is one for code."""
    if name not in _FACES:
        text = name.decode("latin-1")
        bold = True if BOLD_NAME.search(text) else False if PLAIN_NAME.search(text) else None
        _FACES[name] = bold, MONO_NAME.search(text) is not None
    return _FACES[name]


def _cleaned(text: str) -> str:
    return text if text.isascii() and text.isprintable() else text.translate(CLEANED)


def _letter_near_middle(part: str) -> int:
    middle = len(part) // 2
    if part[middle].isalnum():
        return middle
    return next((i for i in (*range(middle, len(part)), *range(middle)) if part[i].isalnum()), middle)
