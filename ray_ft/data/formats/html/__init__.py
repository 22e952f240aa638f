"""HTML by selectolax: the page's main part as light Markdown, so that headings, lists, code and tables stay visible."""

from typing import TYPE_CHECKING

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.html.text import MAX_DEPTH, inline_text, items_of, rows_of, words_of
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


def parse_html(text: str) -> Parsed:
    """Blocks of the page's main part: headings as `## title`, items as `- item`, code in fences, rows with bars."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(text)
    title_node = tree.css_first("title")
    title = words_of(title_node.text()) if title_node is not None else ""
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
        words = words_of("".join(inline))
        if words:
            pieces.append(("paragraph", 0, words))
        inline.clear()

    for child in node.iter(include_text=True):
        tag = child.tag or ""
        if tag in HEADINGS:
            flush()
            pieces.append(("heading", HEADINGS[tag], words_of(child.text())))
        elif tag == "pre":
            flush()
            pieces.append(("code", 0, "```\n" + child.text().strip("\n").rstrip() + "\n```"))
        elif tag in ("ul", "ol"):
            flush()
            pieces.append(("list", 0, "\n".join(items_of(child, depth=0))))
        elif tag == "table":
            flush()
            pieces.append(("table", 0, "\n".join(rows_of(child))))
        elif tag in ("p", "blockquote", "dt", "figcaption", "summary"):
            flush()
            inline.append(inline_text(child))
            flush()
        elif tag in CONTAINERS:
            flush()
            if depth < MAX_DEPTH:
                _walk(child, pieces, depth + 1)
            else:
                inline.append(child.text(separator=" "))
                flush()
        else:
            inline.append(inline_text(child))
    flush()
