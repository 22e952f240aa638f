"""Columns that a page draws row by row: the gutter between them, and the order in which they are read. Pure.

A table of two columns looks alike; what is read down has lines of several words that fill their column.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ray_ft.data.formats.pdf.page import Line

MIN_LINES, NUM_LOOKED_AT = 6, 8
MIN_SHARE = 0.6  # of the lines that cross the gutter, those that have their gap there
MIN_WORDS, MIN_FILLED = 3.0, 0.7  # of a line of a column, in the mean, and of its width
MIN_COLUMN = 0.2  # of the width of the text
MAX_GAP = 16.0  # of the size of the text, that the longest line of a column leaves free
MIN_GOING_ON = 0.25  # of the lines of both columns, that go on with a sentence
SAME_ROW = 2.0  # points


class Gap(NamedTuple):
    """A wide space in a line: its ends in points, and where the words go on, in the page's text and in the line's."""

    left: float
    right: float
    place: int
    words: int


def is_wide(lines: Sequence[Line]) -> bool:
    """Whether there may be columns: lines enough that are no short ones."""
    return len(lines) >= MIN_LINES and sum(line.text.count(" ") >= 2 * MIN_WORDS - 1 for line in lines) >= MIN_LINES - 1


def looked_at(lines: Sequence[Line]) -> list[int]:
    """A few of the widest lines, spread over the page."""
    width = 0.55 * _width(lines)
    wide = [i for i, line in enumerate(lines) if line.right - line.left >= width]
    return wide[:: max(1, len(wide) // NUM_LOOKED_AT)]


def may_have_gutter(*, num_without: int, num_lines: int) -> bool:
    """Whether a sample may have one, of which so many lines are known to have no gap."""
    return num_lines - num_without >= MIN_SHARE * num_lines


def gutter_of(lines: Sequence[Line], gaps: Mapping[int, Sequence[Gap]], *, is_sample: bool = False) -> float | None:
    """Where the gutter is, in points; None where lines run through. Of a sample, whether there might be one."""
    found = [(i, gap) for i, some in gaps.items() for gap in some]
    rows = {i for i, _ in found}
    if len(rows) < (3 if is_sample else MIN_LINES - 1) or len(rows) < MIN_SHARE * len(gaps) * (1 if is_sample else 0.5):
        return None
    places = [(gap.left + gap.right) / 2 for _, gap in found]
    through = [sum(gap.left <= x <= gap.right for _, gap in found) for x in places]
    best = max(range(len(places)), key=lambda i: through[i])
    x = places[best]
    crossing = [i for i in gaps if lines[i].left < x < lines[i].right]
    if through[best] < max(3, MIN_SHARE * len(crossing)):
        return None
    return x if is_sample or _is_read_down(lines, found, x) else None


def _is_read_down(lines: Sequence[Line], found: Sequence[tuple[int, Gap]], x: float) -> bool:
    split = [(lines[i], gap) for i, gap in found if gap.left <= x <= gap.right]
    lefts = [gap.left - line.left for line, gap in split]
    rights = [line.right - gap.right for line, gap in split]
    starts = sorted(gap.right for _, gap in split)
    middle = starts[len(starts) // 2]
    is_aligned = sum(abs(start - middle) <= 6 for start in starts) >= MIN_SHARE * len(starts)
    num_words = sum(line.text.count(" ") + 1 for line, _ in split) / len(split)
    filled = [sum(sizes) / len(sizes) / max(sizes) for sizes in (lefts, rights) if max(sizes) > 0]
    narrowest = min(max(lefts), max(rights))
    text = [part for line, gap in split for part in (line.text, line.text[gap.words :])]
    goes_on = sum(part[:1].islower() for part in text)
    return (
        is_aligned
        and min(gap.right - gap.left for _, gap in split) <= MAX_GAP * split[0][0].size
        and goes_on >= MIN_GOING_ON * len(text)
        and num_words >= 2 * MIN_WORDS
        and len(filled) == 2
        and min(filled) >= MIN_FILLED
        and narrowest >= MIN_COLUMN * _width(lines)
    )


def arranged(lines: Sequence[Line], gutter: float) -> list[list[int]]:
    """Numbers of the lines in the order of reading: what crosses the gutter divides the page, left is before right."""
    order: list[list[int]] = []
    sides: tuple[list[int], list[int]] = ([], [])
    for i, line in enumerate(lines):
        if line.left < gutter < line.right:
            order += [side for side in (*sides, [i]) if side]
            sides = ([], [])
        else:
            sides[line.left >= gutter].append(i)
    return order + [side for side in sides if side]


def _width(lines: Sequence[Line]) -> float:
    return max(line.right for line in lines) - min(line.left for line in lines)
