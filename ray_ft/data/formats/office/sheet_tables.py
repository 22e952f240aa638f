"""The tables of a sheet: parted by empty rows and columns, each with its own first row at the head of its blocks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ray_ft.data.formats.assemble import Piece
from ray_ft.data.formats.office import row_text
from ray_ft.data.formats.office.sheet_cells import column_of

ROWS_PER_BLOCK = 50  # each begins with the table's first row, which mostly names the columns
RANGE = re.compile(r"([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})")
MAX_MERGED = 1000  # rows that one cell reaches over
NUMBER = re.compile(r"[\d\s.,:/%€$£+-]++")

Rows = Mapping[int, Mapping[int, str]]


@dataclass(frozen=True)
class Merge:
    """Cells that are one: rows first..last of the columns left..right."""

    first: int
    last: int
    left: int
    right: int

    @classmethod
    def of(cls, reference: str) -> "Merge | None":
        """A reference such as A1:B3; None for what is none."""
        found = RANGE.fullmatch(reference)
        if found is None:
            return None
        left, first, right, last = found.groups()
        return cls(int(first), int(last), column_of(left), column_of(right))


def pieces_of(name: str, rows: dict[int, dict[int, str]], merges: Sequence[Merge], *, page: int) -> Iterator[Piece]:
    """The sheet's name as a heading and its tables; nothing for an empty sheet."""
    if not rows:
        return
    yield Piece("heading", name, level=1, page=page)
    for merge in merges:  # a cell that reaches over rows stands in each of them
        if words := rows.get(merge.first, {}).get(merge.left, ""):
            for number in range(merge.first + 1, min(merge.last, merge.first + MAX_MERGED) + 1):
                if number in rows:
                    rows[number].setdefault(merge.left, words)
    regions = [part for region in _parted(sorted(rows)) for part in _beside(rows, region)]
    head: list[str] | None = None
    for region in regions:
        lines = [[rows[n].get(c, "") for c in range(region.left, region.right + 1)] for n in region.rows]
        if len(lines) > 1 and _is_title(lines[0]) and not _is_title(lines[1]):
            title = next(filter(None, lines.pop(0)))
            yield Piece("heading" if len(regions) > 1 else "paragraph", title, level=2 * (len(regions) > 1), page=page)
        if head is not None and len(head) == len(lines[0]) and _names(head) and not _names(lines[0]):
            lines.insert(0, head)  # a table that goes on behind an empty row
        head = lines[0]
        yield from _table(lines, page)


@dataclass(frozen=True)
class _Region:
    rows: Sequence[int]
    left: int
    right: int


def _table(lines: list[list[str]], page: int) -> Iterator[Piece]:
    shown = [words for line in lines if (words := row_text(line))]
    if len(shown) == 1:
        yield Piece("paragraph", shown[0], page=page)
        return
    head, rest = shown[0], shown[1:]
    for start in range(0, len(rest), ROWS_PER_BLOCK - 1):
        yield Piece("table", "\n".join([head, *rest[start : start + ROWS_PER_BLOCK - 1]]), page=page)


def _parted(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Runs of rows without an empty one between them."""
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _beside(rows: Rows, run: list[int]) -> Iterator[_Region]:
    """Tables that stand beside each other, parted by an empty column; a column alone is none."""
    used = sorted({column for number in run for column in rows[number]})
    parts: list[list[int]] = [[used[0]]]
    for column in used[1:]:
        if column == parts[-1][-1] + 1:
            parts[-1].append(column)
        else:
            parts.append([column])
    if len(parts) > 1 and (len(run) == 1 or any(len(part) < 2 for part in parts)):
        parts = [used]
    for part in parts:
        inside = [n for n in run if any(part[0] <= column <= part[-1] for column in rows[n])]
        yield _Region(inside, part[0], part[-1])


def _is_title(line: Sequence[str]) -> bool:
    return sum(map(bool, line)) == 1


def _names(line: Sequence[str]) -> bool:
    """Whether a row names columns: words in each, and no numbers."""
    return all(cell and not NUMBER.fullmatch(cell) for cell in line)
