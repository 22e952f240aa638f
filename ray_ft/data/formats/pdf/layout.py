"""Lines of pages to blocks: what is a heading, what a paragraph, and what stands on every page and is none. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import LIST_ITEM
from ray_ft.rows import Block

HEADING_SCALE = 1.12  # of the size of most of the text
MAX_HEADING, MAX_HEADING_LINES = 200, 3
EDGE_LINES = 2  # at the top and the bottom of a page, that may be its header and footer
EDGE_FRACTION = 0.12  # of the page's height, in which these stand
MIN_REPEATS, REPEATED_FRACTION = 3, 0.3
PARAGRAPH_GAP = 1.45  # of the usual distance between the bottoms of two lines
MAX_STEP = 2.0  # of the size of the text: lines that are further apart do not belong together
DIGITS = re.compile(r"\d+")
PAGE_NUMBER = re.compile(r"[-–— ]*(?:\d{1,4}|[ivxlc]{1,6})[-–— ]*")
HYPHENS = "\u0002\ufffe\u00ad"  # how PDFium writes a hyphen at the end of a line
NUMBERED = re.compile(r"(\d+(?:\.\d+)*)\.?\s+\S")


@dataclass(frozen=True)
class Line:
    """A line of text; places are points from the lower left corner of the page."""

    text: str
    size: float  # points, to the half; 0 when it is not known
    is_bold: bool
    left: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Table:
    """Rows of a ruled table as `a | b`, and the place that it takes."""

    text: str
    bottom: float
    top: float


@dataclass(frozen=True)
class Page:
    """What stands on one page, from top to bottom as the file orders it."""

    number: int
    height: float
    lines: tuple[Line, ...]
    tables: tuple[Table, ...]
    num_images: int


def blocks_of(pages: Sequence[Page], outline: Sequence[tuple[int, int, str]]) -> tuple[str, tuple[Block, ...]]:
    """The text and its blocks; `outline` is (page, level, title) of the bookmarks."""
    sizes = Counter[float]()
    for page in pages:
        for line in page.lines:
            sizes[line.size] += len(line.text)
    body = max(sizes, key=lambda size: sizes[size], default=0.0)
    repeated = _repeated(pages)
    kept = [[line for i, line in enumerate(p.lines) if not _is_furniture(i, p, repeated, body)] for p in pages]
    titles = {(number, _plain(title)): level for number, level, title in outline}
    levels = _levels(kept, body)
    pieces: list[Piece] = []
    for page, lines in zip(pages, kept, strict=True):
        pieces += _pieces(page, lines, body, levels, titles)
    return assemble(pieces)


def _pieces(
    page: Page, lines: Sequence[Line], body: float, levels: dict[float, int], titles: dict[tuple[int, str], int]
) -> Iterator[Piece]:
    """Blocks of one page; a table takes the place of the lines that it covers."""
    waiting = sorted(page.tables, key=lambda t: -t.top)
    run: list[Line] = []
    run_level = 0
    step = min(_usual_step(lines), MAX_STEP * body) if body else _usual_step(lines)
    for line in lines:
        table = next((t for t in page.tables if t.bottom <= (line.bottom + line.top) / 2 <= t.top), None)
        level = titles.get((page.number, _plain(line.text))) or _level(line, body, levels)
        if run and (table is not None or level != run_level or _begins(line, run, step, level)):
            yield _joined(run, run_level, page.number)
            run = []
        if table is None:
            run, run_level = [*run, line], level
        elif table in waiting:
            waiting.remove(table)
            yield Piece("table", table.text, page=page.number)
    if run:
        yield _joined(run, run_level, page.number)
    yield from (Piece("table", table.text, page=page.number) for table in waiting)


def _begins(line: Line, run: Sequence[Line], step: float, level: int) -> bool:
    """Whether a line begins another block than the lines before it."""
    last = run[-1]
    distance = last.bottom - line.bottom
    if level:  # a heading of several lines has them close together
        return len(run) >= MAX_HEADING_LINES or not 0 <= distance <= 1.6 * max(line.size, 1.0)
    if LIST_ITEM.match(line.text) and not LIST_ITEM.match(run[0].text):
        return True
    other_size = abs(line.size - last.size) > 1
    ended = last.text.endswith((".", ":", "?", "!")) and line.left > last.left + line.size
    return other_size or ended or distance > PARAGRAPH_GAP * step or distance < -step


def _joined(run: Sequence[Line], level: int, page: int) -> Piece:
    if level:
        return Piece("heading", " ".join(line.text for line in run), level=level, page=page)
    if LIST_ITEM.match(run[0].text):
        items: list[str] = []
        for line in run:
            if LIST_ITEM.match(line.text) or not items:
                items.append(line.text)
            else:
                items[-1] = _glued(items[-1], line.text)
        return Piece("list", "\n".join(items), page=page)
    words = run[0].text
    for line in run[1:]:
        words = _glued(words, line.text)
    return Piece("paragraph", words.rstrip(HYPHENS), page=page)


def _glued(before: str, after: str) -> str:
    """Two lines as one: a word that was divided becomes whole again."""
    if before[-1:] in HYPHENS:
        return before[:-1] + after
    divided = before.endswith("-") and before[-2:-1].isalpha() and after[:1].islower()
    return before[:-1] + after if divided else f"{before} {after}"


def _level(line: Line, body: float, levels: dict[float, int]) -> int:
    """The depth of a heading, 0 for other lines."""
    letters = sum(c.isalpha() for c in line.text)
    if line.size not in levels or len(line.text) > MAX_HEADING or letters < max(2, len(line.text) / 3):
        return 0
    number = NUMBERED.match(line.text)
    if line.size == body:  # bold, in the size of the text: only where a number says so
        return min(6, number.group(1).count(".") + 1) if line.is_bold and number is not None else 0
    return levels[line.size]


def _levels(pages: Sequence[Sequence[Line]], body: float) -> dict[float, int]:
    """Sizes of headings -> depth, the largest is 1."""
    sizes = {line.size for lines in pages for line in lines if line.size >= HEADING_SCALE * body > 0}
    return {size: min(6, i) for i, size in enumerate(sorted(sizes, reverse=True), start=1)} | {body: 0}


def _repeated(pages: Sequence[Page]) -> set[str]:
    """Lines at the edges of many pages, page numbers apart: headers and footers."""
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update({_shape(line.text, page.number) for i, line in enumerate(page.lines) if _is_edge(i, page)})
    needed = max(MIN_REPEATS, REPEATED_FRACTION * len(pages))
    return {shape for shape, count in counts.items() if count >= needed}


def _is_furniture(index: int, page: Page, repeated: set[str], body: float) -> bool:
    """A line at a page's edge that stands on many pages, or is nothing but a number."""
    if not _is_edge(index, page):
        return False
    line = page.lines[index]
    # A large line that differs from page to page is the heading of its page.
    shape = line.text if line.size >= HEADING_SCALE * body else _shape(line.text, page.number)
    return shape in repeated or PAGE_NUMBER.fullmatch(line.text) is not None


def _is_edge(index: int, page: Page) -> bool:
    if EDGE_LINES <= index < len(page.lines) - EDGE_LINES:
        return False
    margin = EDGE_FRACTION * page.height
    return not page.height or not margin < page.lines[index].bottom < page.height - margin


def _shape(text: str, page: int) -> str:
    """The text with its numbers as distances from the page's: equal for lines that differ in the page number only."""
    return DIGITS.sub(lambda m: f"#{int(m.group()[:9]) - page}", text)


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _usual_step(lines: Sequence[Line]) -> float:
    """The most usual distance between the bottoms of two lines, in half points."""
    steps = Counter(round(2 * (a.bottom - b.bottom)) / 2 for a, b in pairwise(lines))
    usual = [(count, step) for step, count in steps.items() if step > 1]
    return max(usual, key=lambda pair: (pair[0], -pair[1]))[1] if usual else 1.0
