"""Plain text: its headings, and paragraphs and lists between blank lines. Also lines of code or configuration that have
no parser of their own.
"""

import re

from ray_ft.data.formats.base import LIST_ITEM, Lines, Parsed, Unreadable
from ray_ft.data.formats.rst import parse_rst
from ray_ft.data.formats.text.headings import find_headings
from ray_ft.rows import Block, BlockType

RST_SIGN = re.compile(r"^\.\. (?:[\w-]+::|_[\w -]+:)|:[a-z]+:`[^`\n]+`", re.MULTILINE)
RST_TITLE = re.compile(r"^([=\-~^\"'`#*+])\1{2,}[ \t]*$", re.MULTILINE)
MAX_RST = 2**17  # characters: longer ones would need a process of their own
ASCIIDOC_SIGN = re.compile(
    r"^(?:\[[a-z]+[^\]\n]{0,80}\]|\[\[[^\]\n]{1,80}\]\]|:[a-z-]+:.*|\S.{0,80}::)[ \t]*$", re.MULTILINE
)
ASCIIDOC_MARK = re.compile(r"\[[^\]\n]{1,80}\]|\[\[[^\]\n]{1,80}\]\]|:[\w-]+:.*|//.*|\.\w.{0,80}|\+")
DELIMITER = re.compile(r"(?:-{4,}|\.{4,})[ \t]*")
MIN_RATED, RATED, MIN_LETTERS = 2000, 20_000, 0.1  # characters; of what is no space: less is a table of numbers


def parse_text(text: str) -> Parsed:
    """Headings, paragraphs and lists; what is reStructuredText by its directives is read as such.

    Raises Unreadable for tables of numbers.
    """
    head = text[:RATED]
    if len(head) >= MIN_RATED and sum(map(str.isalpha, head)) < MIN_LETTERS * len("".join(head.split())):
        raise Unreadable("data, not text")
    if len(text) <= MAX_RST and RST_SIGN.search(text) and RST_TITLE.search(text):
        return parse_rst(text)
    return parse_plain(text)


def parse_plain(text: str) -> Parsed:
    """Headings, paragraphs and lists of a text, which stays as it is."""
    lines = Lines(text)
    is_asciidoc = len(ASCIIDOC_SIGN.findall(text)) > 1
    blocks: list[Block] = []
    position = 0
    for heading in [*find_headings(lines), None]:
        end = heading.line_start - 1 if heading is not None else len(lines)
        blocks += _asciidoc(lines, position, end) if is_asciidoc else _runs(lines, position, end)
        if heading is not None:
            blocks.append(heading)
            position = heading.line_end
    return Parsed(text, tuple(blocks))


def parse_lines(text: str) -> Parsed:
    """Blocks of code between blank lines."""
    lines = Lines(text)
    return Parsed(text, tuple(_runs(lines, 0, len(lines), code=True)))


def _runs(lines: Lines, first: int, last: int, *, code: bool = False) -> list[Block]:
    """Runs of lines first <= i < last that are not blank."""
    blocks: list[Block] = []
    for i in range(first, last + 1):
        if i < last and lines.lines[i].strip():
            continue
        if i > first:
            kind: BlockType = "code" if code else "list" if LIST_ITEM.match(lines.lines[first]) else "paragraph"
            block = lines.block(kind, first, i)
            blocks += [block] if block is not None else []
        first = i + 1
    return blocks


def _asciidoc(lines: Lines, first: int, last: int) -> list[Block]:
    """Runs of lines without marks of AsciiDoc, and what stands between two delimiters as code."""
    blocks: list[Block] = []
    start = i = first
    while i < last:
        line = lines.lines[i]
        if DELIMITER.fullmatch(line):
            blocks += _runs(lines, start, i)
            end = next((j for j in range(i + 1, last) if lines.lines[j].rstrip() == line.rstrip()), i)
            code = lines.block("code", i + 1, end)
            blocks += [code] if code is not None else []
            start = i = end + 1
        elif ASCIIDOC_MARK.fullmatch(line):
            blocks += _runs(lines, start, i)
            start = i = i + 1
        else:
            i += 1
    return blocks + _runs(lines, start, last)
