"""HTML by selectolax: a page's content as light Markdown, so that headings, lists, code and tables stay visible."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.content.templates import is_template, may_be_template
from ray_ft.data.formats.html.furniture import remove_unseen
from ray_ft.data.formats.html.outline import rooted
from ray_ft.data.formats.html.regions import regions_of
from ray_ft.data.formats.html.text import mark_inline, words_of
from ray_ft.data.formats.html.walk import pieces_of

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

FILLED_IN = r"""
    [\*ngfor], [\*ngif], [v-for], [v-if], [ng-repeat], [th\:text], [th\:each], [th\:if], [href*="{{"], [href*="{%"],
    [src*="{{"], [src*="{%"], [class*="{{"], [class*="{%"], [action*="{{"], [action*="{%"], [value*="{{"], [name*="{{"]
"""
MAX_HEAD = 2000  # characters, in which a template says so
CODE = re.compile(r"`[^`]*+`")


def parse_html(text: str) -> Parsed:
    """Blocks of all main parts of the page: headings as `## title`, items as `- item`, code in fences, rows with bars.

    A page without a heading above all others has its title as one. Raises Unreadable for the template of a page.
    """
    return _parsed(text, may_be_filled_in=True)


def read_html(text: str) -> Parsed:
    """As `parse_html`, of HTML that stands in something else, such as a mail or a book: it is no template."""
    return _parsed(text, may_be_filled_in=False)


def _parsed(text: str, *, may_be_filled_in: bool) -> Parsed:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(text)
    title_node = tree.css_first("title")
    title = words_of(title_node.text()) if title_node is not None else ""
    remove_unseen(tree)
    mark_inline(tree)
    found = pieces_of(tree.root, regions_of(tree, title)) if tree.root is not None else ()
    if may_be_filled_in and _is_template(tree, text, found):
        raise Unreadable("template", "a program fills it in")
    pieces, title = rooted(found, title)
    whole, blocks = assemble(pieces)
    return Parsed(whole, blocks, {"title": title} if title else {})


def _is_template(tree: "LexborHTMLParser", text: str, pieces: Sequence[Piece]) -> bool:
    """Whether a program fills the page in; in listings and code a template's signs are examples."""
    prose = "\n".join(piece.text for piece in pieces if piece.type != "code")
    if not may_be_template(prose) and not may_be_template(text[:MAX_HEAD]):
        return False
    return is_template(text, CODE.sub("", prose), num_attributes=len(tree.css(FILLED_IN)))
