"""A page of a PDF as its lines and tables, and what their sizes and distances tell. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HEADING_SCALE = 1.12  # of the size of most of the text


@dataclass(frozen=True)
class Line:
    """A line of text; places are points from the lower left corner of the page."""

    text: str
    size: float  # points, to the half; 0 when it is not known
    is_bold: bool  # from its beginning to its end
    left: float
    bottom: float
    top: float
    right: float = 0.0
    is_mono: bool = False  # in a face for code, from its beginning to its end


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
    covered: float = 0.0  # share of the page that its largest image takes


def body_size(pages: Sequence[Page]) -> float:
    """The size of most of the text, in points; 0 where it is not known."""
    sizes = Counter[float]()
    for page in pages:
        for line in page.lines:
            sizes[line.size] += len(line.text)
    return max(sizes, key=lambda size: sizes[size], default=0.0)


def usual_step(lines: Sequence[Line]) -> float:
    """The most usual distance between the bottoms of two lines, in half points."""
    steps = Counter(round(2 * (a.bottom - b.bottom)) / 2 for a, b in pairwise(lines))
    usual = [(count, step) for step, count in steps.items() if step > 1]
    return max(usual, key=lambda pair: (pair[0], -pair[1]))[1] if usual else 1.0
