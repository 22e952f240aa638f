"""Tables of a Markdown page, as rows of a file that holds its figures."""

import csv
from pathlib import Path

from markdown_it import MarkdownIt


def table_rows(path: Path) -> list[dict[str, str]]:
    """Every cell that has a digit and is not a row's name, in the page's order, under its heading, row and column."""
    section, table, found = "", 0, []
    head: list[str] = []
    cells: list[str] = []
    heading = False
    for token in MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8")):
        if token.type == "heading_open":
            heading, table = True, 0
        elif token.type == "table_open":
            table, head = table + 1, []
        elif token.type == "tr_open":
            cells = []
        elif token.type == "inline" and heading:
            section, heading = token.content, False
        elif token.type == "inline" and token.level > 3:
            cells.append(token.content.replace("**", ""))
        elif token.type == "tr_close" and not head:
            head = cells
        elif token.type == "tr_close":
            found += [
                {"section": section, "table": str(table), "row": cells[0], "column": column, "value": value}
                for column, value in list(zip(head, cells, strict=True))[1:]
                if any(c.isdigit() for c in value)
            ]
    return found


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
