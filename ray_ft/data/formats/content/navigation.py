"""Names of sections that only lead elsewhere."""

from collections.abc import Sequence
from typing import Protocol

NAMES = frozenset(
    {
        "contents", "table of contents", "on this page", "in this article", "attachments", "attachments:", "navigation",
        "related pages", "related links", "navigation menu", "page contents", "share this page", "search", "toc",
        "in this section", "quick links", "leave a reply", "leave a comment",
        "index", "indices and tables", "comments", "related articles",
        "inhalt", "inhaltsverzeichnis", "sommaire", "table des matières", "índice",
        "contenido", "indice", "目录", "目次",
    }
)  # fmt: skip
SIGNPOSTS = frozenset({"contents", "table of contents", "on this page", "back to top", "back to the top", "go to top"})
MAX_SIGNPOST = 40  # characters


class Heading(Protocol):
    """What is asked of a block or of a piece that becomes one."""

    @property
    def type(self) -> str:
        """What it is."""
        ...

    @property
    def text(self) -> str:
        """Its words."""
        ...

    @property
    def level(self) -> int:
        """Its depth."""
        ...


def is_left_alone(blocks: Sequence[Heading], i: int) -> bool:
    """Whether a heading stands above nothing, and only names what was left out."""
    if blocks[i].type != "heading" or blocks[i].text.strip(" :*_").casefold() not in NAMES:
        return False
    return i + 1 == len(blocks) or (blocks[i + 1].type == "heading" and blocks[i + 1].level <= blocks[i].level)


def is_signpost(words: str) -> bool:
    """Whether a paragraph, of MAX_SIGNPOST at most, only names the contents, or leads to the page's beginning."""
    return words.partition("](")[0].strip(" \n:*_()[]⬆↑⇧^").casefold() in SIGNPOSTS
