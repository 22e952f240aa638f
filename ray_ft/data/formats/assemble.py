"""Pieces of a document that has no text of its own (pages, slides, cells) to one text with exact blocks."""

from collections.abc import Iterable
from dataclasses import dataclass

from ray_ft.data.formats.base import Lines
from ray_ft.rows import Block, BlockType


@dataclass(frozen=True)
class Piece:
    """One block to be; `level` is a heading's depth, `page` the page, slide, sheet or cell."""

    type: BlockType
    text: str
    level: int = 0
    page: int = 0


def assemble(pieces: Iterable[Piece]) -> tuple[str, tuple[Block, ...]]:
    """The pieces with blank lines between them, headings marked as `## title`, and their blocks."""
    parts: list[str] = []
    places: list[tuple[Piece, int, int]] = []
    offset = 0
    for piece in pieces:
        text = piece.text.strip("\n").rstrip()
        if not text.strip():
            continue
        shown = f"{'#' * piece.level} {' '.join(text.split())}" if piece.type == "heading" else text
        start = offset + (piece.level + 1 if piece.type == "heading" else 0)
        places.append((piece, start, offset + len(shown)))
        parts.append(shown)
        offset += len(shown) + 2
    whole = "\n\n".join(parts) + "\n" if parts else ""
    lines = Lines(whole)
    blocks = tuple(
        Block(p.type, whole[a:b], a, b, lines.line_of(a) + 1, lines.line_of(max(a, b - 1)) + 1, p.level, p.page)
        for p, a, b in places
    )
    return whole, blocks
