"""Plain text: its headings, and paragraphs and lists between blank lines. Also lines of code or configuration that have
no parser of their own.
"""

import re

from ray_ft.data.formats.base import LIST_ITEM, Lines, Parsed, Unreadable
from ray_ft.data.formats.lightweight.asciidoc import parse_asciidoc
from ray_ft.data.formats.rst import parse_rst
from ray_ft.data.formats.text.contents import without_contents
from ray_ft.data.formats.text.headings import find_headings
from ray_ft.rows import Block, BlockType

RST_SIGN = re.compile(r"^\.\. (?:[\w-]+::|_[\w -]+:)|:[a-z]+:`[^`\n]+`", re.MULTILINE)
RST_TITLE = re.compile(r"^([=\-~^\"'`#*+])\1{2,}[ \t]*$", re.MULTILINE)
MAX_RST = 2**17  # characters: longer ones would need a process of their own
ASCIIDOC_CERTAIN = re.compile(
    r"^(?:\[\[[\w.-]{1,60}\]\]|\[(?:verse|source|listing|quote|horizontal|NOTE|TIP|WARNING|cols|options)\b[^\]\n]{0,80}\]"
    r"|[\w.-]{1,60}\(\d\)\n={5,}|linkgit:\S{1,60}\[\d\]::|(?:include|ifdef|ifndef|ifeval)::\S{0,80}\[[^\]\n]{0,80}\]"
    r"|\.{4}\n(?:.*\n){1,40}?\.{4}|\+)[ \t]*$",
    re.MULTILINE,
)
ASCIIDOC_TITLE = re.compile(r"^(?:={1,5} \S.*|\w.*\n([=\-~^+])\1{2,}[ \t]*)$", re.MULTILINE)
ASCIIDOC_HINTS = ("[[", "::", "[verse]", "\n....\n", "\n+\n", ")\n====")
MIN_TERMS = 3  # of a part that other files include
MAX_ASCIIDOC = 2**20  # characters
ASCIIDOC_SIGN = re.compile(
    r"^(?:\[[a-z]+[^\]\n]{0,80}\]|\[\[[^\]\n]{1,80}\]\]|:[a-z-]+:.*|\S.{0,80}::)[ \t]*$", re.MULTILINE
)
ASCIIDOC_BEGINS = frozenset("[:")
ASCIIDOC_MARK = re.compile(r"\[[^\]\n]{1,80}\]|\[\[[^\]\n]{1,80}\]\]|:[\w-]+:.*|//.*|\.\w.{0,80}|\+")
DELIMITER = re.compile(r"(?:-{4,}|\.{4,})[ \t]*")
MIN_RATED, RATED, MIN_LETTERS = 2000, 20_000, 0.1  # characters; of what is no space: less is a table of numbers


def parse_text(text: str) -> Parsed:
    """Headings, paragraphs and lists; reStructuredText and AsciiDoc are read as such where their marks are certain.

    Raises Unreadable for tables of numbers.
    """
    head = text[:RATED]
    if len(head) >= MIN_RATED and sum(map(str.isalpha, head)) < MIN_LETTERS * len("".join(head.split())):
        raise Unreadable("data, not text")
    may_be_rst = len(text) <= MAX_RST and (".. " in text or ":`" in text)
    if may_be_rst and RST_SIGN.search(text) and RST_TITLE.search(text):
        return parse_rst(text)
    return parse_asciidoc(text) if _is_asciidoc(text) else parse_plain(without_contents(text))


def _is_asciidoc(text: str) -> bool:
    """Whether a text has titles of AsciiDoc, and what nothing else has: anchors, includes, styles, `+` by itself."""
    if len(text) > MAX_ASCIIDOC or not any(hint in text for hint in ASCIIDOC_HINTS):
        return False
    if ASCIIDOC_CERTAIN.search(text) is None:
        return False
    return ASCIIDOC_TITLE.search(text) is not None or text.count("::\n") >= MIN_TERMS


def parse_plain(text: str) -> Parsed:
    """Headings, paragraphs and lists of a text, which stays as it is."""
    lines = Lines(text)
    headings = find_headings(lines, spans := _spans(lines, 0, len(lines)))
    opening = [*(first for first, _ in spans), *(heading.line_end for heading in headings)]
    rows = [lines.lines[i].rstrip() for i in opening if i < len(lines)]
    if any(row[:1] in ASCIIDOC_BEGINS or row.endswith("::") for row in rows) and len(ASCIIDOC_SIGN.findall(text)) > 1:
        return Parsed(text, tuple(_blocks_of_asciidoc(lines, headings)))
    starting = {heading.line_start - 1: heading for heading in headings}
    blocks: list[Block] = []
    for first, last in spans:
        heading = starting.get(first)
        if heading is not None:
            blocks.append(heading)
            first = heading.line_end
        blocks += _block(lines, first, last)
    return Parsed(text, tuple(blocks))


def _blocks_of_asciidoc(lines: Lines, headings: list[Block]) -> list[Block]:
    blocks: list[Block] = []
    position = 0
    for heading in [*headings, None]:
        blocks += _asciidoc(lines, position, heading.line_start - 1 if heading is not None else len(lines))
        if heading is not None:
            blocks.append(heading)
            position = heading.line_end
    return blocks


def parse_lines(text: str) -> Parsed:
    """Blocks of code between blank lines."""
    lines = Lines(text)
    spans = _spans(lines, 0, len(lines))
    return Parsed(text, tuple(block for span in spans for block in _block(lines, *span, code=True)))


def _spans(lines: Lines, first: int, last: int) -> list[tuple[int, int]]:
    """Runs of lines first <= i < last that are not blank."""
    rows = lines.lines
    blank = [i for i in range(first, last) if not rows[i] or rows[i].isspace()]
    starts, ends = [first, *(i + 1 for i in blank)], [*blank, last]
    return [(a, b) for a, b in zip(starts, ends, strict=True) if b > a]


def _block(lines: Lines, first: int, last: int, *, code: bool = False) -> list[Block]:
    """The block of a run, if there is anything in it."""
    if first >= last:
        return []
    kind: BlockType = "code" if code else "list" if LIST_ITEM.match(lines.lines[first]) else "paragraph"
    block = lines.block(kind, first, last)
    return [block] if block is not None else []


def _runs(lines: Lines, first: int, last: int) -> list[Block]:
    return [block for span in _spans(lines, first, last) for block in _block(lines, *span)]


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
