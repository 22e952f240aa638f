"""What many documents may begin or end with, as "Report a bug on this page": short blocks at their edges, by hash.

Only paragraphs and lists count that stand in a run with the head or the foot of a document, so that nothing within its
text, its code or its tables is taken for a footer.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ray_ft.rows import Document

MAX_AT_EDGE = 4  # blocks of a head, and of a foot
MAX_EDGE_SIZE = 240  # characters of one, without layout
EDGES = frozenset({"paragraph", "list"})


class Edge(NamedTuple):
    """A block at the head or the foot of a document."""

    key: int
    place: int  # among all its blocks


def edges_of(document: Document) -> list[Edge]:
    """The short blocks that a document begins and ends with, in order; code has none."""
    if document.language:
        return []
    every = range(len(document.blocks))
    head = list(_run(document, (i for i in every if document.blocks[i].type != "heading")))
    foot = [edge for edge in _run(document, reversed(every)) if not head or edge.place > head[-1].place]
    return [*head, *reversed(foot)]


def _run(document: Document, places: Iterable[int]) -> Iterator[Edge]:
    """Blocks from one end on, as long as they are short and text."""
    for number, place in enumerate(places):
        block = document.blocks[place]
        plain = folded(block.text)
        if number == MAX_AT_EDGE or block.type not in EDGES or len(plain) > MAX_EDGE_SIZE:
            return
        if any(c.isalnum() for c in plain):
            yield Edge(key_of(plain), place)


def folded(text: str) -> str:
    """The words of a block without case and layout."""
    return " ".join(text.casefold().split())


def key_of(plain: str) -> int:
    """What tells the words of a block from others."""
    return int.from_bytes(hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=8).digest(), "little")
