"""Lines of pages to blocks: what is a heading, what a paragraph, a list or code. Pure.

What stands on pages and is no text of theirs is furniture.py's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import LIST_ITEM
from ray_ft.data.formats.pdf.furniture import text_lines
from ray_ft.data.formats.pdf.page import HEADING_SCALE, Line, Page, Table, body_size, usual_step
from ray_ft.rows import Block
from ray_ft.words import num_words

MAX_HEADING, MAX_HEADING_LINES = 200, 3
MAX_BOLD_HEADING, MAX_BOLD_WORDS = 100, 12
MAX_BOLD_SHARE, MAX_MONO_SHARE = 0.4, 0.5  # of the text: what has more of it does not mean anything by it
PARAGRAPH_GAP = 1.45  # of the usual distance between the bottoms of two lines
MAX_STEP = 2.0  # of the size of the text: lines that are further apart do not belong together
MONO_WIDTH = 0.6  # of a character by the size, where a line does not tell
MAX_INDENT = 60
HYPHENS = "\u0002\ufffe\u00ad"  # how PDFium writes a hyphen at the end of a line
__all__ = ["Line", "Page", "Table", "blocks_of"]
NUMBERED = re.compile(r"(\d+(?:\.\d+)*)\.?\s+\S")
GOES_ON = (",", ";", "-", "–", "(", "/")


@dataclass(frozen=True)
class Style:
    """What the whole document tells of its type."""

    body: float  # the size of most of the text, in points
    levels: dict[float, int]  # of headings by their size, the largest is 1
    has_bold: bool  # bold lines say something
    has_mono: bool
    numbers_from: int  # depth of a bold heading numbered 1, less one


def blocks_of(pages: Sequence[Page], outline: Sequence[tuple[int, int, str]]) -> tuple[str, tuple[Block, ...]]:
    """The text and its blocks; `outline` is (page, level, title) of the bookmarks."""
    kept = text_lines(pages, body_size(pages))
    style = _style(kept, body_size(pages))
    titles: dict[int, dict[str, int]] = {}
    for number, level, title in outline:
        titles.setdefault(number, {})[_plain(title)] = level
    pieces: list[Piece] = []
    for page, lines in zip(pages, kept, strict=True):
        pieces += _pieces(page, lines, style, titles.get(page.number, {}))
    return assemble(pieces)


def _style(pages: Sequence[Sequence[Line]], body: float) -> Style:
    lines = [line for page in pages for line in page]
    total = sum(len(line.text) for line in lines) or 1
    has_bold = sum(len(line.text) for line in lines if line.is_bold) <= MAX_BOLD_SHARE * total
    has_mono = sum(len(line.text) for line in lines if line.is_mono) <= MAX_MONO_SHARE * total
    large = [line for line in lines if line.size >= HEADING_SCALE * body > 0]
    sizes = {line.size for line in large}
    if has_bold and body:  # a little larger than the text, and bold as well
        sizes |= {line.size for line in lines if body < line.size and line.is_bold and _is_titled(line)}
    levels = {size: min(6, i) for i, size in enumerate(sorted(sizes, reverse=True), start=1)}
    has_numbers = any(NUMBERED.match(line.text) for line in large)
    return Style(body, levels, has_bold, has_mono, 0 if has_numbers or not sizes else len(levels))


def _pieces(page: Page, lines: Sequence[Line], style: Style, titles: Mapping[str, int]) -> Iterator[Piece]:
    """Blocks of one page; a table takes the place of the lines that it covers. `titles` are those that begin on it."""
    waiting = sorted(page.tables, key=lambda t: -t.top)
    run: list[Line] = []
    run_level, run_code = 0, False
    step = min(usual_step(lines), MAX_STEP * style.body) if style.body else usual_step(lines)
    for i, line in enumerate(lines):
        table = _table_at(line, page.tables) if page.tables else None
        code = style.has_mono and line.is_mono
        level = titles.get(_plain(line.text)) if titles else 0
        level = level or (0 if code else _level(i, lines, style, step))
        other = table is not None or level != run_level or code != run_code
        if run and (other or (not code and _begins(line, run, step, level))):
            yield _joined(run, run_level, page.number, is_code=run_code)
            run = []
        if table is None:
            run, run_level, run_code = [*run, line], level, code
        elif table in waiting:
            waiting.remove(table)
            yield Piece("table", table.text, page=page.number)
    if run:
        yield _joined(run, run_level, page.number, is_code=run_code)
    yield from (Piece("table", table.text, page=page.number) for table in waiting)


def _table_at(line: Line, tables: Sequence[Table]) -> Table | None:
    return next((t for t in tables if t.bottom <= (line.bottom + line.top) / 2 <= t.top), None)


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


def _joined(run: Sequence[Line], level: int, page: int, *, is_code: bool = False) -> Piece:
    if level:
        return Piece("heading", " ".join(line.text for line in run), level=level, page=page)
    if is_code:
        return Piece("code", _listing(run), page=page)
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


def _listing(run: Sequence[Line]) -> str:
    """Lines of code with their indentation, which their places tell, and with blank lines where there is room."""
    left = min(line.left for line in run)
    widths = sorted((line.right - line.left) / len(line.text) for line in run if line.right > line.left)
    width = widths[len(widths) // 2] if widths else MONO_WIDTH * max(run[0].size, 1.0)
    step = usual_step(run)
    rows: list[str] = []
    for i, line in enumerate(run):
        if i and run[i - 1].bottom - line.bottom > 1.7 * step > 0:
            rows.append("")
        rows.append(" " * min(MAX_INDENT, round((line.left - left) / max(width, 0.1))) + line.text)
    return "\n".join(rows)


def _glued(before: str, after: str) -> str:
    """Two lines as one: a word that was divided becomes whole again."""
    if before[-1:] in HYPHENS:
        return before[:-1] + after
    divided = before.endswith("-") and before[-2:-1].isalpha() and after[:1].islower()
    return before[:-1] + after if divided else f"{before} {after}"


MARKS_OF_ITEMS = ("•", "◦", "▪", "‣", "●", "○", "−", "–", "—")


def _level(i: int, lines: Sequence[Line], style: Style, step: float) -> int:
    """The depth of a heading, 0 for other lines."""
    line = lines[i]
    is_large = line.size >= HEADING_SCALE * style.body
    if not style.body or not (is_large or (style.has_bold and line.is_bold)) or len(line.text) > MAX_HEADING:
        return 0
    if sum(map(str.isalpha, line.text)) < max(2, len(line.text) / 3) or line.text.startswith(MARKS_OF_ITEMS):
        return 0
    if is_large:
        return style.levels.get(line.size, 0)
    if line.size < style.body or not _is_titled(line):
        return 0
    if not _stands_alone(i, lines, step):
        return 0
    if line.size > style.body:
        return style.levels.get(line.size, 0)
    number = NUMBERED.match(line.text)
    if number is not None:
        return min(6, style.numbers_from + number.group(1).count(".") + 1)
    return min(6, len(style.levels) + 1)


def _is_titled(line: Line) -> bool:
    """Whether a bold line is worded as a title: short, and neither a sentence nor a part of one."""
    text = line.text
    return (
        len(text) <= MAX_BOLD_HEADING
        and num_words(text) <= MAX_BOLD_WORDS
        and not text.endswith((".", "!", *GOES_ON, *HYPHENS))
        and not text[:1].islower()
        and not (LIST_ITEM.match(text) and not NUMBERED.match(text))
    )


def _stands_alone(i: int, lines: Sequence[Line], step: float) -> bool:
    """Whether a bold line has text in plain type below it, and no sentence that runs into it from above."""
    line = lines[i]
    below = next((other for other in lines[i + 1 : i + 1 + MAX_HEADING_LINES] if not other.is_bold), None)
    if below is None or line.bottom - below.bottom <= 0:
        return False
    above = lines[i - 1] if i else None
    if above is None or above.is_bold or above.size > line.size:
        return True
    is_apart = not 0 < above.bottom - line.bottom <= 1.2 * step
    return is_apart or above.text.endswith((".", "!", "?", ":"))


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))
