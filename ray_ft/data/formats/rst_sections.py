"""The sections of reStructuredText, which docutils finds.

docutils runs without raw HTML, without including files, and silent: Sphinx's roles and directives, which it does not
know, would otherwise fill the log with a message each.
"""

import io

from ray_ft.data.formats.base import Lines
from ray_ft.rows import Block


def section_headings(text: str, lines: Lines) -> list[Block]:
    """Section titles with their depth, in the order of the source."""
    from docutils import nodes
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser
    from docutils.utils import new_document

    parser = Parser()
    settings = get_default_settings(Parser)
    settings.report_level = settings.halt_level = 5
    settings.raw_enabled = settings.file_insertion_enabled = False
    settings.warning_stream = io.StringIO()
    settings.line_length_limit = 10**9
    document = new_document("document", settings)
    parser.parse(text, document)
    found: list[Block] = []
    for section in document.findall(nodes.section):
        block = _heading(section.line, _depth(section), lines)
        if block is not None and (not found or block.start > found[-1].start):
            found.append(block)
    return found


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
