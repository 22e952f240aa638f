"""reStructuredText: docutils finds the sections; the blocks between them are cut from the source by indentation."""

import re

from ray_ft.data.formats.base import LIST_ITEM, Lines, Parsed
from ray_ft.data.formats.rst.sections import section_headings
from ray_ft.data.formats.rst.shown import CODE_DIRECTIVES, NAVIGATION, inline, visible
from ray_ft.rows import Block, BlockType

DIRECTIVE = re.compile(r"\.\. (?:\|[^|]+\| )?([\w:.-]+)::(.*)")
TABLE = re.compile(r"\+[-=+]+\+\s*|=+(?:\s+=+)+\s*")


def parse_rst(text: str) -> Parsed:
    """Sections, paragraphs, lists, code and tables; roles and links are replaced by the words that a reader sees."""
    text = inline(text)
    lines = Lines(text)
    headings = section_headings(text, lines)
    shown = Lines("\n".join(visible(lines.lines)))
    blocks: list[Block] = []
    position = 0
    for heading in [*headings, None]:
        end = heading.line_start - 1 if heading is not None else len(lines)
        blocks += _body(lines, shown, position, end)
        if heading is not None:
            moved = shown.heading(heading.text, heading.line_start - 1, heading.line_end, level=heading.level)
            blocks += [moved] if moved is not None else []
            position = heading.line_end
    return Parsed(shown.text, tuple(blocks))


def _body(lines: Lines, shown: Lines, first: int, last: int) -> list[Block]:
    """Blocks between two headings. A block begins at a line that is not indented, after a blank line.

    What it is says the source, and what stands in it what a reader sees.
    """
    starts = [
        i
        for i in range(first, last)
        if lines.lines[i].strip() and not lines.lines[i][0].isspace() and (i == first or not lines.lines[i - 1].strip())
    ]
    starts = sorted({*starts, *_indented_start(lines, first, last)})
    if not starts:
        return []
    blocks: list[Block] = []
    for i, end in zip(starts, [*starts[1:], last], strict=True):
        kind = _kind(lines, i, end)
        block = shown.block(kind, i, end) if kind is not None else None
        if block is None:
            continue
        previous = blocks[-1] if blocks else None
        if previous is not None and previous.type == block.type == "list" and block.line_start - previous.line_end <= 2:
            blocks[-1] = shown.block("list", previous.line_start - 1, block.line_end) or block
        else:
            blocks.append(block)
    return blocks


def _indented_start(lines: Lines, first: int, last: int) -> list[int]:
    """The first line of text, when it is indented: nothing else would begin a block there."""
    return next(([i] for i in range(first, last) if lines.lines[i].strip()), [])


def _kind(lines: Lines, first: int, last: int) -> BlockType | None:
    """What a block is by its first line; None for comments, targets and directives that hold nothing to read."""
    line = lines.lines[first]
    directive = DIRECTIVE.match(line)
    if directive is not None:
        name = directive.group(1).lower()
        if name in CODE_DIRECTIVES:
            return "code"
        return None if name in NAVIGATION else "table" if "table" in name else "paragraph"
    if line.startswith("..") and (len(line) == 2 or line[2].isspace()):
        return None
    if TABLE.fullmatch(line):
        return "table"
    if LIST_ITEM.match(line) or line.startswith("#. "):
        return "list"
    if line.startswith(">>> "):
        return "code"
    rows = [row for row in lines.lines[first:last] if row.strip()]
    opens_literal = any(row.rstrip().endswith("::") for row in rows if not row[0].isspace())
    return "code" if opens_literal and sum(row[0].isspace() for row in rows) > len(rows) / 2 else "paragraph"
