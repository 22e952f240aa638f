"""The words of parts of a page: of inline nodes, the lines of lists, and the rows of tables."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_DEPTH = 200  # deeper trees are read as their text; browsers stop at 512


def inline_text(node: "LexborNode") -> str:
    """Text of an inline node; code keeps its backticks."""
    if node.tag == "-text":
        return node.text_content or ""
    if node.tag == "br":
        return " "
    if node.tag in ("code", "tt", "kbd", "samp"):
        words = words_of(node.text())
        return f"`{words}`" if words else ""
    if node.css_first("code, tt, kbd, samp, br") is None:
        return node.text() or ""
    return "".join(inline_text(child) for child in node.iter(include_text=True))


def items_of(node: "LexborNode", depth: int) -> list[str]:
    """Lines of a list, nested lists indented by two spaces a level."""
    lines: list[str] = []
    number = 0
    for item in node.iter():
        if item.tag != "li":
            continue
        number += 1
        mark = f"{number}." if node.tag == "ol" else "-"
        own = "".join(inline_text(c) for c in item.iter(include_text=True) if c.tag not in ("ul", "ol"))
        if words_of(own):
            lines.append("  " * depth + f"{mark} {words_of(own)}")
        if depth < MAX_DEPTH:
            for nested in item.iter():
                if nested.tag in ("ul", "ol"):
                    lines += items_of(nested, depth + 1)
    return lines


def rows_of(node: "LexborNode") -> list[str]:
    """Rows of a table as `a | b | c`."""
    rows = []
    for row in node.css("tr"):
        cells = [words_of(inline_text(cell)) for cell in row.iter() if cell.tag in ("td", "th")]
        if any(cells):
            rows.append(" | ".join(cells))
    return rows


def words_of(text: str | None) -> str:
    """Text with every run of white space made one space, and Sphinx's paragraph sign removed."""
    return re.sub(r"\s+", " ", (text or "").replace("¶", "")).strip()
