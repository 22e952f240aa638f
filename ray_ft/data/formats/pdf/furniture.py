"""What stands on pages and is none of their text: running headers and footers, watermarks, tables of contents. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from ray_ft.data.formats.pdf.page import HEADING_SCALE, Line, Page, usual_step

EDGE_ROWS = 3  # at the top and the bottom of a page, that may be its header and footer
MAX_CLOSE = 30  # characters of a running line that is not apart from the text
EDGE_FRACTION = 0.12  # of the page's height, in which these stand
MIN_REPEATS, REPEATED_FRACTION = 3, 0.3
MIN_PLACED, PLACED_FRACTION = 4, 0.5  # pages with a line at one height, whatever it says, and their share
APART = 1.6  # of the usual step, that such a line is away from the text
SAME_ROW, SAME_PLACE = 2.0, 6.0  # points
DIGITS = re.compile(r"\d+")
PAGE_NUMBER = re.compile(r"[-–— ]*(?:\d{1,4}|[ivxlc]{1,6})[-–— ]*")
WATERMARK = re.compile(
    r"draft|confidential|copy|sample|specimen|do not copy|internal use only|for internal use|preliminary|watermark"
    r"|entwurf|vertraulich|muster|confidentiel|brouillon|borrador|confidencial|bozza|riservato",
    re.IGNORECASE,
)
WATERMARK_SCALE, MAX_WATERMARK = 1.8, 60
LEADERS, ROMAN_OR_DIGITS = ".·…_ \u00a0", "0123456789ivxlc"
ENTRY = re.compile(r"\S.{0,150}?[ \u00a0](\d{1,4})")
CONTENTS = re.compile(
    r"(?:table of )?contents|list of (?:figures|tables)|inhalt(?:sverzeichnis)?|table des mati[eè]res|sommaire"
    r"|[ií]ndice|sommario|目录|目次|목차|оглавление|содержание",
    re.IGNORECASE,
)
MIN_DOTS, MIN_LEADERS, MIN_ENTRIES, ENTRIES_SHARE = 4, 3, 4, 0.7


def text_lines(pages: Sequence[Page], body: float) -> list[list[Line]]:
    """The lines of each page without those that are furniture."""
    edges = [_edges(page) for page in pages]
    repeated = _repeated(pages, edges, body)
    placed = _placed(pages, body)
    across = _watermarks(pages, body)
    kept: list[list[Line]] = []
    in_contents = False
    for number, page in enumerate(pages):
        lines = [
            line
            for i, line in enumerate(page.lines)
            if i not in placed[number]
            and _spot(line) not in across
            and not (i in edges[number] and _is_furniture(line, page, repeated, body, edges[number][i]))
        ]
        lines, in_contents = _without_contents(lines, len(pages), in_contents)
        kept.append(lines)
    return kept


def _edges(page: Page) -> dict[int, bool]:
    """Numbers of the lines in the first and last rows of a page that stand near its edge, and whether there is room
    between them and the text. Where heights are unknown, the first and last lines.
    """
    if not page.height:
        return {i: False for i in range(len(page.lines)) if not 2 <= i < len(page.lines) - 2}
    margin = EDGE_FRACTION * page.height
    rows = _rows(page.lines)
    room = APART * usual_step(page.lines)
    found: dict[int, bool] = {}
    for is_top in (True, False):
        order = rows[: EDGE_ROWS + 1] if is_top else rows[: -EDGE_ROWS - 2 : -1]
        heights = [page.lines[row[0]].bottom for row in order]
        gaps = [abs(a - b) >= room for a, b in pairwise(heights)]
        gaps += [True] if len(order) == len(rows) <= EDGE_ROWS else []  # there is nothing that it could be close to
        for place, row in enumerate(order[:EDGE_ROWS]):
            if heights[place] > page.height - margin if is_top else heights[place] < margin:
                found |= {i: any(gaps[place:]) for i in row}
    return found


def _rows(lines: Sequence[Line]) -> list[list[int]]:
    """Numbers of the lines by the height that they stand at, from top to bottom."""
    rows: list[list[int]] = []
    for i in sorted(range(len(lines)), key=lambda i: -lines[i].bottom):
        if rows and lines[rows[-1][0]].bottom - lines[i].bottom <= SAME_ROW:
            rows[-1].append(i)
        else:
            rows.append([i])
    return rows


def _repeated(pages: Sequence[Page], edges: Sequence[dict[int, bool]], body: float) -> set[str]:
    """What lines at the edges of many pages have in common."""
    counts: Counter[str] = Counter()
    for page, numbers in zip(pages, edges, strict=True):
        counts.update({shape for i, room in numbers.items() for shape in _shapes(page.lines[i], page, body, room)})
    needed = max(MIN_REPEATS, REPEATED_FRACTION * len(pages))
    return {shape for shape, count in counts.items() if count >= needed}


def _shapes(line: Line, page: Page, body: float, has_room: bool) -> list[str]:
    """The text itself, with numbers as distances from the page's, and with any numbers at this height.

    A large line that differs from page to page is the heading of its page, as is a bold one right above the text, and a
    long one there is text.
    """
    is_close = not has_room and (line.is_bold or len(line.text) > MAX_CLOSE)
    if line.size >= HEADING_SCALE * body or is_close:
        return [line.text]
    distances = DIGITS.sub(lambda m: f"#{int(m.group()[:9]) - page.number}", line.text)
    shapes = [line.text, distances]
    if page.height and sum(map(str.isalpha, line.text)) >= 2:
        shapes.append(f"{DIGITS.sub('#', line.text)}@{round(line.bottom / SAME_PLACE)}")
    return shapes


def _is_furniture(line: Line, page: Page, repeated: set[str], body: float, has_room: bool) -> bool:
    if (has_room and _is_manual(page)) or PAGE_NUMBER.fullmatch(line.text) is not None:
        return True
    return not repeated.isdisjoint(_shapes(line, page, body, has_room))


def _is_manual(page: Page) -> bool:
    """Whether a page has the head of a manual's, such as `tar(1)  User Commands  tar(1)`, however few they are."""
    words = page.lines[0].text.split() if page.lines else []
    return len(words) > 1 and words[0] == words[-1] and "(" in words[0] and words[0].endswith(")")


def _placed(pages: Sequence[Page], body: float) -> list[set[int]]:
    """Lines that stand by themselves at a height at which most pages have one, such as the title of a chapter."""
    found: list[set[int]] = [set() for _ in pages]
    needed = max(MIN_PLACED, PLACED_FRACTION * len(pages))
    if len(pages) < needed:
        return found
    lone: dict[tuple[bool, int], list[tuple[int, list[int]]]] = {}
    for number, page in enumerate(pages):
        rows = _rows(page.lines) if page.height and len(page.lines) > EDGE_ROWS else []
        step = usual_step(page.lines) if rows else 0.0
        for is_top in (True, False) if len(rows) > 2 else ():
            row, following = (rows[0], rows[1]) if is_top else (rows[-1], rows[-2])
            line, other = page.lines[row[0]], page.lines[following[0]]
            from_edge = page.height - line.bottom if is_top else line.bottom
            in_margin = from_edge < EDGE_FRACTION * page.height
            in_size = all(page.lines[i].size < HEADING_SCALE * body for i in row)
            is_plain = in_size and not (is_top and any(page.lines[i].is_bold for i in row))  # nothing is headed below
            if in_margin and is_plain and abs(line.bottom - other.bottom) >= APART * step:
                lone.setdefault((is_top, round(line.bottom / SAME_PLACE)), []).append((number, row))
    for places in lone.values():
        for number, row in places if len(places) >= needed else ():
            found[number].update(row)
    return found


def _watermarks(pages: Sequence[Page], body: float) -> set[tuple[str, int, int]]:
    """Large lines, or such as warn, that stand at one spot of many pages."""
    spots = Counter(spot for page in pages for spot in {_spot(line) for line in page.lines if _is_mark(line, body)})
    needed = max(MIN_REPEATS, PLACED_FRACTION * len(pages))
    return {spot for spot, count in spots.items() if count >= needed}


def _is_mark(line: Line, body: float) -> bool:
    is_large = line.size >= WATERMARK_SCALE * body > 0
    return len(line.text) <= MAX_WATERMARK and (is_large or WATERMARK.fullmatch(line.text.strip(" -–*.!")) is not None)


def _spot(line: Line) -> tuple[str, int, int]:
    return line.text, round(line.left / SAME_PLACE), round(line.bottom / SAME_PLACE)


def _without_contents(lines: list[Line], num_pages: int, in_contents: bool) -> tuple[list[Line], bool]:
    """A page without entries of a table of contents, and whether the table may go on on the next one."""
    leaders = [line for line in lines if _has_leader(line.text)]
    title = next((i for i, line in enumerate(lines[:4]) if CONTENTS.fullmatch(line.text.strip(" .:"))), None)
    rest = lines[title + 1 :] if title is not None else lines
    entries = [(line, match) for line in rest if (match := ENTRY.fullmatch(line.text))]
    numbers = [int(match.group(1)) for _, match in entries]
    rises = sum(a <= b for a, b in pairwise(numbers)) >= 0.8 * max(1, len(numbers) - 1)
    is_listed = (
        (title is not None or in_contents)
        and len(entries) >= MIN_ENTRIES
        and len(entries) >= ENTRIES_SHARE * len(rest)
        and rises
        and max(numbers) <= 2 * num_pages + 50
    )
    if is_listed:
        dropped = {id(line) for line, _ in entries}
    elif len(leaders) >= MIN_LEADERS:
        dropped = {id(line) for line in leaders}
    else:
        return lines, False
    if title is not None:
        dropped.add(id(lines[title]))
    return [line for line in lines if id(line) not in dropped], True


def _has_leader(text: str) -> bool:
    """Whether dots lead from words to a number at the end."""
    rest = text.rstrip(LEADERS[-2:])
    dots = rest.rstrip(ROMAN_OR_DIGITS)
    words = dots.rstrip(LEADERS)
    has_dots = sum(c not in " \u00a0" for c in dots[len(words) :]) >= MIN_DOTS
    return bool(words) and has_dots and 0 < len(rest) - len(dots) <= 6
