"""Markdown by markdown-it-py, whose line map gives every block its exact place in the source."""

import re
from typing import TYPE_CHECKING

from ray_ft.data.formats.base import Lines, Parsed
from ray_ft.rows import Block, BlockType

if TYPE_CHECKING:
    from markdown_it.token import Token

KINDS: dict[str, BlockType] = {
    "paragraph_open": "paragraph",
    "blockquote_open": "paragraph",
    "html_block": "paragraph",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
}
MYST_NAVIGATION = ("{toctree}", "{contents}", "{index}")  # Sphinx directives in Markdown
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
QUOTES = ("'", '"')
FRONT_MATTER_TITLE = re.compile(r"^title:(.*)$", re.MULTILINE)
# Nothing is tried twice (`++`, `*+`): a row of comments can be read as one comment in as many ways as it has parts.
NOTHING_TO_READ = re.compile(
    r"(?:\s++|<!--(?:[^-]++|-(?!->))*+-->|</?\w[^>]*+>|\[?+!\[[^\]]*+\]\([^)]*+\)\]?+(?:\([^)]*+\))?+)*+"
)


def parse_markdown(text: str) -> Parsed:
    """Top-level blocks of the source; front matter gives the title, comments and lone images are left out."""
    from markdown_it import MarkdownIt

    skipped, metadata = _front_matter(text)
    lines = Lines(text)
    tokens = MarkdownIt("commonmark").enable("table").parse("\n" * skipped + "\n".join(lines.lines[skipped:]))
    blocks: list[Block] = []
    for i, token in enumerate(tokens):
        if token.level != 0 or token.map is None:
            continue
        block = _block(token, tokens[i + 1] if i + 1 < len(tokens) else None, lines)
        if block is not None and not NOTHING_TO_READ.fullmatch(block.text):
            blocks.append(block)
    return Parsed(text, tuple(blocks), metadata)


def _block(token: "Token", following: "Token | None", lines: Lines) -> Block | None:
    assert token.map is not None
    first, last = token.map
    if token.type == "heading_open":
        title = following.content.strip() if following is not None else ""
        return lines.heading(title, first, last, level=int(token.tag[1:]))
    if token.info.strip().lower().startswith(MYST_NAVIGATION):
        return None
    kind = KINDS.get(token.type)
    return lines.block(kind, first, last) if kind is not None else None


def _front_matter(text: str) -> tuple[int, dict[str, str]]:
    """Number of leading lines that are YAML front matter, and the title it gives."""
    match = FRONT_MATTER.match(text)
    if match is None:
        return 0, {}
    title = FRONT_MATTER_TITLE.search(match.group(1))
    words = title.group(1).strip(" \t") if title else ""
    words = words[words[:1] in QUOTES : len(words) - (len(words) > 1 and words[-1] in QUOTES)].rstrip(" \t")
    return match.group(0).count("\n") + 1, {"title": words} if words else {}
