"""Pieces of a document that has no text of its own (pages, slides, cells) to one text with exact blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ray_ft.rows import Block, BlockType


@dataclass(frozen=True)
class Piece:
    """One block to be; `level` is a heading's depth, `page` the page, slide, sheet or cell."""

    type: BlockType
    text: str
    level: int = 0
    page: int = 0


def pieces_of(blocks: Iterable[Block], *, page: int, deeper: int = 0) -> Iterator[Piece]:
    """Blocks that another parser found, as pieces of a page; their headings stand `deeper` by so many levels."""
    for block in blocks:
        level = min(6, block.level + deeper) if block.type == "heading" else 0
        yield Piece(block.type, block.text, level, page)


def assemble(pieces: Iterable[Piece]) -> tuple[str, tuple[Block, ...]]:
    """The pieces with blank lines between them, headings marked as `## title`, and their blocks."""
    parts: list[str] = []
    blocks: list[Block] = []
    offset, line = 0, 1
    for piece in pieces:
        text = piece.text.strip("\n").rstrip()
        if not text or text.isspace():
            continue
        indent = 0
        if piece.type == "heading":
            text = " ".join(text.split())
            indent = piece.level + 1
            parts.append(f"{'#' * piece.level} {text}")
        else:
            parts.append(text)
        start, last = offset + indent, line + text.count("\n")
        blocks.append(Block(piece.type, text, start, start + len(text), line, last, piece.level, piece.page))
        offset = start + len(text) + 2
        line = last + 2
    return "\n\n".join(parts) + "\n" if parts else "", tuple(blocks)


def row_lines(cells: Iterable[str]) -> list[str]:
    """A table's row as `a | b` on one line; cells of several lines stand on lines of their own between the others."""
    lines: list[str] = []
    beside: list[str] = []
    for cell in (*cells, "\n"):
        if "\n" not in cell:
            beside.append(cell)
            continue
        while beside and not beside[-1]:
            beside.pop()
        lines += [" | ".join(beside), cell.strip("\n")]
        beside = []
    return [line for line in lines if line]
