"""Rows of a table: cells that reach over rows stand in each, and a row with listings in it takes several lines."""

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from ray_ft.data.formats.assemble import row_lines

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

Grid = Sequence[Sequence["LexborNode"]]
MAX_REPEATED = 100  # characters of a cell that reaches over rows
MAX_SPAN = 1000  # rows or columns
NAMES = "td :is(h1, h2, h3, h4, h5, h6)"


def rows_of(table: "LexborNode") -> tuple[list["LexborNode"], list["LexborNode"]]:
    """Captions and rows of a table, without those of tables in it."""
    captions, rows = [], []
    for part in table.iter():
        if part.tag == "tr":
            rows.append(part)
        elif part.tag in ("thead", "tbody", "tfoot"):
            rows += [row for row in part.iter() if row.tag == "tr"]
        elif part.tag == "caption":
            captions.append(part)
    return captions, rows


def cells_of(row: "LexborNode") -> list["LexborNode"]:
    """The cells of a row."""
    return [cell for cell in row.iter() if cell.tag in ("td", "th")]


def is_layout(table: "LexborNode", grid: Grid, blocks: Container[str | None]) -> bool:
    """Whether a table only places what stands in it: one row or one column of blocks, or sections with headings."""
    role = table.attributes.get("role")
    if role in ("presentation", "none"):
        return True
    if len(grid) == 1 or all(len(row) == 1 for row in grid):
        return any(child.tag in blocks for row in grid for cell in row for child in cell.iter())
    return table.css_first(NAMES) is not None


def joined(grid: Grid, words_of_cell: Callable[["LexborNode"], str]) -> str:
    """The rows as lines."""
    lines: list[str] = []
    reaching: dict[int, tuple[int, str]] = {}  # column -> rows that are left, words
    for row in grid:
        words: list[str] = []
        has_own = False
        for cell in row:
            _fill(words, reaching)
            text = words_of_cell(cell)
            has_own = has_own or bool(text)
            rows, columns = _span(cell, "rowspan"), _span(cell, "colspan")
            if rows > 1:
                reaching[len(words)] = (rows - 1, text if len(text) <= MAX_REPEATED and "\n" not in text else "")
            words += [text, *[""] * (columns - 1)]
        _fill(words, reaching)
        if has_own:
            lines += row_lines(words)
    return "\n".join(lines)


def _fill(words: list[str], reaching: dict[int, tuple[int, str]]) -> None:
    while len(words) in reaching:
        left, text = reaching.pop(len(words))
        if left > 1:
            reaching[len(words)] = (left - 1, text)
        words.append(text)


def _span(cell: "LexborNode", name: str) -> int:
    given = cell.attributes.get(name) or ""
    return min(int(given), MAX_SPAN) if given.isdecimal() and len(given) < 6 else 1
