"""Markdown by markdown-it-py, whose line map gives every block its exact place in the source."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.content.templates import is_template, may_be_template
from ray_ft.data.formats.lightweight.markdown.page import Page
from ray_ft.rows import BlockType

if TYPE_CHECKING:
    from markdown_it.token import Token

KINDS: dict[str, BlockType] = {
    "paragraph_open": "paragraph",
    "blockquote_open": "paragraph",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
}
MYST_NAVIGATION = ("{toctree}", "{contents}", "{index}")  # Sphinx directives in Markdown
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*+`")
MAX_WORDS_A_SIGN = 8  # fewer than in a page of HTML: pages of generators of sites have a sign here and there
QUOTES = ("'", '"')
FRONT_MATTER_TITLE = re.compile(r"^title:(.*)$", re.MULTILINE)
# Nothing is tried twice (`++`, `*+`): a row of comments can be read as one comment in as many ways as it has parts.
NOTHING_TO_READ = re.compile(
    r"(?:\s++|<!--(?:[^-<]++|-(?!->)|<(?!!--))*+-->|</?\w[^>]*+>"
    r"|\[?+!\[[^\]]*+\](?:\([^)]*+\)|\[[^\]]*+\])\]?+(?:\([^)]*+\)|\[[^\]]*+\])?+)*+"
)


def parse_markdown(text: str) -> Parsed:
    """A file of Markdown; front matter gives the title. Raises Unreadable for the template of a page."""
    skipped, metadata = _front_matter(text)
    source, tokens = _tokens(text, skipped)
    if may_be_template(text):
        prose = _prose(source, tokens)
        if is_template(source.lstrip(), prose, max_words_a_sign=MAX_WORDS_A_SIGN):
            raise Unreadable("template", "a program fills it in")
    return _parsed(text, tokens, skipped, metadata)


def read_markdown(text: str) -> Parsed:
    """Markdown that stands in something else, such as a cell or a mail, and may show a template's signs."""
    return _parsed(text, _tokens(text, 0)[1], 0, {})


def _tokens(text: str, skipped: int) -> tuple[str, Sequence["Token"]]:
    """The source without its first lines, which are empty, and its tokens."""
    from markdown_it import MarkdownIt

    source = "\n" * skipped + "\n".join(text.split("\n")[skipped:]) if skipped else text
    return source, MarkdownIt("commonmark").enable("table").parse(source)


def _parsed(text: str, tokens: Sequence["Token"], skipped: int, metadata: dict[str, str]) -> Parsed:
    """Top-level blocks of the source.

    What is no content is taken out of the text, line by line: comments, lone images and such as are written out, tags,
    shortcodes, contents.
    """
    page = Page(text, tokens, skipped)
    for i, token in enumerate(tokens):
        if token.level == 0 and token.map is not None:
            _add(page, i, *token.map)
    shown, blocks = page.blocks(NOTHING_TO_READ)
    return Parsed(shown, tuple(blocks), metadata)


def _prose(source: str, tokens: Sequence["Token"]) -> str:
    """What stands outside listings and code, where signs of a template would be examples."""
    lines = source.split("\n")
    blocks = (t.map for t in tokens if t.level == 0 and t.map and t.type not in ("fence", "code_block"))
    return CODE.sub("", "\n".join("\n".join(lines[first:last]) for first, last in blocks))


def _add(page: Page, i: int, first: int, last: int) -> None:
    """Take the lines of a token as what it says they are."""
    token = page.tokens[i]
    kind = KINDS.get(token.type)
    if token.type == "heading_open":
        page.add_heading(page.tokens[i + 1].content.strip(), first, last, int(token.tag[1:]))
    elif token.info.strip().lower().startswith(MYST_NAVIGATION) or (
        kind == "list" and page.is_no_content(i, first, last)
    ):
        page.blank(first, last)
    elif token.type == "html_block":
        page.add_html(first, last)
    elif kind is not None:
        page.add(kind, first, last)


def _front_matter(text: str) -> tuple[int, dict[str, str]]:
    """Number of leading lines that are YAML front matter, and the title it gives."""
    match = FRONT_MATTER.match(text)
    if match is None:
        return 0, {}
    title = FRONT_MATTER_TITLE.search(match.group(1))
    words = title.group(1).strip(" \t") if title else ""
    words = words[words[:1] in QUOTES : len(words) - (len(words) > 1 and words[-1] in QUOTES)].rstrip(" \t")
    return match.group(0).count("\n") + 1, {"title": words} if words else {}
