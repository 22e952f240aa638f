"""Plain text: paragraphs between blank lines. Also lines of code or configuration that have no parser of their own."""

import re

from ray_ft.data.formats.base import Lines, Parsed
from ray_ft.rows import Block, BlockType

LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+\S")


def parse_text(text: str) -> Parsed:
    """Paragraphs and lists; plain text has no headings that could be told from short lines."""
    return Parsed(text, tuple(_runs(Lines(text), code=False)))


def parse_lines(text: str) -> Parsed:
    """Blocks of code between blank lines."""
    return Parsed(text, tuple(_runs(Lines(text), code=True)))


def _runs(lines: Lines, *, code: bool) -> list[Block]:
    """Runs of lines that are not blank."""
    blocks: list[Block] = []
    first = 0
    for i in range(len(lines) + 1):
        if i < len(lines) and lines.lines[i].strip():
            continue
        if i > first:
            kind: BlockType = "code" if code else "list" if LIST_ITEM.match(lines.lines[first]) else "paragraph"
            block = lines.block(kind, first, i)
            blocks += [block] if block is not None else []
        first = i + 1
    return blocks
