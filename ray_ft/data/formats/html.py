"""HTML by selectolax: the page's main part as light Markdown, so that headings, lists, code and tables stay visible."""

import re
from typing import TYPE_CHECKING

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed
from ray_ft.rows import BlockType

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

INVISIBLE = (
    "script", "style", "noscript", "template", "svg", "iframe", "form", "button", "select", "head",
    "nav", "footer", "aside", "[hidden]", "[role=navigation]", "[role=search]", ".headerlink", ".sphinxsidebar",
    "div.related", ".breadcrumbs", ".toctree-wrapper",
)  # fmt: skip
MAIN = ("main", "[role=main]", "article", "div.body", "body")
HEADINGS = {f"h{i}": i for i in range(1, 7)}
CONTAINERS = {
    "html", "body", "main", "article", "section", "div", "header", "figure", "details", "dl", "dd", "center", "hgroup",
    "fieldset", "address",
}  # fmt: skip
MAX_DEPTH = 200  # deeper trees are read as their text; browsers stop at 512


def parse_html(text: str) -> Parsed:
    """Blocks of the page's main part: headings as `## title`, items as `- item`, code in fences, rows with bars."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(text)
    title_node = tree.css_first("title")
    title = _words(title_node.text()) if title_node is not None else ""
    tree.strip_tags(list(INVISIBLE))
    root = next((node for name in MAIN if (node := tree.css_first(name)) is not None), None)
    pieces: list[tuple[BlockType, int, str]] = []
    if root is not None:
        _walk(root, pieces, depth=0)
    whole, blocks = assemble(Piece(kind, text, level) for kind, level, text in pieces if text != "```\n\n```")
    return Parsed(whole, blocks, {"title": title} if title else {})


def _walk(node: "LexborNode", pieces: list[tuple[BlockType, int, str]], depth: int) -> None:
    """Collect (type, level, text) in the order of the page; runs of inline nodes make one paragraph."""
    inline: list[str] = []

    def flush() -> None:
        words = _words("".join(inline))
        if words:
            pieces.append(("paragraph", 0, words))
        inline.clear()

    for child in node.iter(include_text=True):
        tag = child.tag or ""
        if tag in HEADINGS:
            flush()
            pieces.append(("heading", HEADINGS[tag], _words(child.text())))
        elif tag == "pre":
            flush()
            pieces.append(("code", 0, "```\n" + child.text().strip("\n").rstrip() + "\n```"))
        elif tag in ("ul", "ol"):
            flush()
            pieces.append(("list", 0, "\n".join(_items(child, depth=0))))
        elif tag == "table":
            flush()
            pieces.append(("table", 0, "\n".join(_rows(child))))
        elif tag in ("p", "blockquote", "dt", "figcaption", "summary"):
            flush()
            inline.append(_inline(child))
            flush()
        elif tag in CONTAINERS:
            flush()
            if depth < MAX_DEPTH:
                _walk(child, pieces, depth + 1)
            else:
                inline.append(child.text(separator=" "))
                flush()
        else:
            inline.append(_inline(child))
    flush()


def _inline(node: "LexborNode") -> str:
    """Text of an inline node; code keeps its backticks."""
    if node.tag == "-text":
        return node.text_content or ""
    if node.tag == "br":
        return " "
    if node.tag in ("code", "tt", "kbd", "samp"):
        words = _words(node.text())
        return f"`{words}`" if words else ""
    if node.css_first("code, tt, kbd, samp, br") is None:
        return node.text() or ""
    return "".join(_inline(child) for child in node.iter(include_text=True))


def _items(node: "LexborNode", depth: int) -> list[str]:
    """Lines of a list, nested lists indented by two spaces a level."""
    lines: list[str] = []
    number = 0
    for item in node.iter():
        if item.tag != "li":
            continue
        number += 1
        mark = f"{number}." if node.tag == "ol" else "-"
        own = "".join(_inline(c) for c in item.iter(include_text=True) if c.tag not in ("ul", "ol"))
        if _words(own):
            lines.append("  " * depth + f"{mark} {_words(own)}")
        if depth < MAX_DEPTH:
            for nested in item.iter():
                if nested.tag in ("ul", "ol"):
                    lines += _items(nested, depth + 1)
    return lines


def _rows(node: "LexborNode") -> list[str]:
    """Rows of a table as `a | b | c`."""
    rows = []
    for row in node.css("tr"):
        cells = [_words(_inline(cell)) for cell in row.iter() if cell.tag in ("td", "th")]
        if any(cells):
            rows.append(" | ".join(cells))
    return rows


def _words(text: str | None) -> str:
    """Text with every run of white space made one space, and Sphinx's paragraph sign removed."""
    return re.sub(r"\s+", " ", (text or "").replace("¶", "")).strip()
