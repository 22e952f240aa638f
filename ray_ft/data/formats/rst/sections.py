"""The sections of reStructuredText, which docutils finds.

docutils runs without raw HTML, without including files, and silent: Sphinx's roles and directives, which it does not
know, would otherwise fill the log with a message each. It does not see what holds no section, and does not look for
markup inside of paragraphs: that saves two thirds of its time.
"""

import io
import re
from functools import cache
from typing import Any

from ray_ft.data.formats.base import Lines
from ray_ft.rows import Block

# Directives, comments, targets and notes, with their bodies.
EXPLICIT = re.compile(r"^\.\.[ \t].*\n(?:(?:[ \t].*+)?\n)*+", re.MULTILINE)


def section_headings(text: str, lines: Lines) -> list[Block]:
    """Section titles with their depth, in the order of the source."""
    from docutils import nodes
    from docutils.parsers.rst import Parser
    from docutils.utils import new_document

    document = new_document("document", _settings())
    Parser(inliner=_no_inline_markup()).parse(_without_explicit_markup(text), document)
    found: list[Block] = []
    for section in document.findall(nodes.section):
        block = _heading(section.line, _depth(section), lines)
        if block is not None and (not found or block.start > found[-1].start):
            found.append(block)
    return found


@cache
def _settings() -> Any:
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser

    settings = get_default_settings(Parser)
    settings.report_level = settings.halt_level = 5
    settings.raw_enabled = settings.file_insertion_enabled = False
    settings.warning_stream = io.StringIO()
    settings.line_length_limit = 10**9
    return settings


def _no_inline_markup() -> Any:
    """What docutils reads paragraphs with: words, and nothing else."""
    from docutils import nodes
    from docutils.parsers.rst.states import Inliner

    inliner: Any = Inliner()  # no class of its own: it looks for its settings among the names of its class
    inliner.parse = lambda text, lineno, memo, parent: ([nodes.Text(text)], [])
    return inliner


def _without_explicit_markup(text: str) -> str:
    """The text with blank lines in place of blocks that begin with two dots, in which no section can be.

    Behind `::` they stay, since what a literal block is depends on the line that follows.
    """
    parts: list[str] = []
    position = 0
    for match in EXPLICIT.finditer(text):
        if not text[position : match.start()].rstrip().endswith("::"):
            parts += [text[position : match.start()], "\n" * match.group().count("\n")]
            position = match.end()
    return "".join([*parts, text[position:]])


def _heading(underline: int | None, level: int, lines: Lines) -> Block | None:
    """The title above the underline that docutils names by its 1-based line; an overline belongs to the heading too."""
    if underline is None or not 2 <= underline <= len(lines):
        return None
    title_line = underline - 2
    title = lines.lines[title_line].strip()
    mark = lines.lines[underline - 1].strip()[:1]
    over = lines.lines[title_line - 1].strip() if title_line > 0 else ""
    has_overline = len(over) >= 2 and set(over) == {mark}
    return lines.heading(title, title_line - has_overline, underline, level=level)


def _depth(section: object) -> int:
    from docutils import nodes

    depth, node = 0, section
    while isinstance(node, nodes.Element):
        depth += isinstance(node, nodes.section)
        node = node.parent
    return depth
