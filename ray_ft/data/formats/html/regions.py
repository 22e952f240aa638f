"""Where the content of a page stands: in all its main parts and articles, and in what reads as content beside them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ray_ft.data.formats.html.outline import is_named
from ray_ft.data.formats.html.text import words_of

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

NAMES = """
    html body main article section div header footer figure details dl dd center hgroup fieldset address form aside
    blockquote ul ol li table thead tbody tfoot tr td th pre
"""
BLOCKS = frozenset(NAMES.split())
"""Elements whose children are looked at one by one; all others hold words."""
INSIDE = "div, p, ul, ol, table, pre, dl, section, article, form, h1, h2, h3, h4, h5, h6"
WORDLESS = (
    "html, body, main, article, section, div, li, td, th, dd, blockquote, details, header, footer, aside, figure, form"
)
WRAPPED = f":not({WORDLESS}, fieldset, center, address, ul, ol, dl) > :is({INSIDE})"


@dataclass(frozen=True)
class Regions:
    """Identities of nodes: main parts, all that stands above one, and elements of words that hold blocks."""

    mains: frozenset[int]
    above: frozenset[int]
    wrappers: frozenset[int]
    has_title: bool  # whether a main part has a heading of the first level, or one that the page's title names


def regions_of(tree: "LexborHTMLParser", title: str) -> Regions:
    """The regions of a page. Without main parts its articles are they; without both all of it is."""
    nodes = tree.css("main, [role=main]") or tree.css("article")
    mains = frozenset(node.mem_id for node in nodes)
    above = {ancestor for node in nodes for ancestor in _above(node)}
    wrappers: set[int] = set()
    for node in tree.css(WRAPPED):
        parent = node.parent
        while parent is not None and parent.tag not in BLOCKS and parent.mem_id not in wrappers:
            wrappers.add(parent.mem_id)
            parent = parent.parent
    has_title = any(_has_title(node, title) for node in nodes)
    return Regions(mains, frozenset(above) - mains, frozenset(wrappers), has_title)


def _has_title(node: "LexborNode", title: str) -> bool:
    first = node.css_first("h1") or node.css_first("h2, h3")
    return first is not None and (first.tag == "h1" or is_named(words_of(first.text()), title))


def _above(node: "LexborNode") -> list[int]:
    found = []
    parent = node.parent
    while parent is not None:
        found.append(parent.mem_id)
        parent = parent.parent
    return found
