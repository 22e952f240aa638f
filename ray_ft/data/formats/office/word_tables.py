"""Rows and cells of a Word table with all changes accepted; each cell tells how far it reaches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_ft.data.formats.office.word_styles import VAL, Style, W, outline_level, value, whole

MAX_SPAN = 63  # columns of a Word table


@dataclass(frozen=True)
class Cell:
    """A cell of a row; `goes_on` says that it is the lower part of the one above."""

    node: Any
    columns: int = 1
    goes_on: bool = False


def rows_of(table: Any) -> list[list[Cell]]:
    """The cells of each row that is left."""
    return [cells for row in _within(table, f"{W}tr") if not _is_gone(row) and (cells := _cells(row))]


def is_layout(rows: Sequence[Sequence[Cell]], styles: Mapping[str, Style]) -> bool:
    """Whether a table only places what stands in it: it has one cell, or headings."""
    if len(rows) == 1 and len(rows[0]) == 1:
        return True
    for row in rows:
        for cell in row:
            for properties in cell.node.iterfind(f"{W}p/{W}pPr"):
                style = styles.get(value(properties, "pStyle") or "")
                if outline_level(properties) or (style is not None and style.level):
                    return True
    return False


def _cells(row: Any) -> list[Cell]:
    found = []
    for node in _within(row, f"{W}tc"):
        properties = node.find(f"{W}tcPr")
        merge = properties.find(f"{W}vMerge") if properties is not None else None
        if properties is not None and properties.find(f"{W}cellDel") is not None:
            continue
        columns = max(1, min(whole(value(properties, "gridSpan"), 1), MAX_SPAN))
        found.append(Cell(node, columns, merge is not None and merge.get(VAL) != "restart"))
    return found


def _within(node: Any, tag: str) -> Iterator[Any]:
    """Children of a kind, those in content controls and in what else may stand around them too."""
    for child in node:
        if child.tag == tag:
            yield child
        elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}customXml", f"{W}ins", f"{W}moveTo"):
            yield from _within(child, tag)


def _is_gone(row: Any) -> bool:
    properties = row.find(f"{W}trPr")
    return properties is not None and properties.find(f"{W}del") is not None
