"""Source code by tree-sitter: its definitions, and blocks of top-level code.

Text that does not parse leaves error nodes, and what stands around and in them is found all the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.code.definitions import Rows, Source, python_docstring
from ray_ft.data.formats.code.dialect import GUARD, guarded
from ray_ft.data.formats.code.licence import licence_of, without
from ray_ft.data.formats.code.macros import without_macros
from ray_ft.data.formats.code.recover import top_nodes
from ray_ft.data.formats.code.respelled import respelled
from ray_ft.data.formats.code.sql import sql_definitions
from ray_ft.data.formats.code.walk import Walker
from ray_ft.data.formats.text import parse_lines
from ray_ft.grammars import GRAMMARS
from ray_ft.rows import Block, BlockType, Definition

if TYPE_CHECKING:
    from tree_sitter import Parser, Tree

MAX_IMPORTS = 200


def code_parser(language: str) -> Callable[[str], Parsed]:
    """The parser of a language of GRAMMARS."""
    return partial(parse_code, language=language)


def parse_code(text: str, *, language: str) -> Parsed:
    """Definitions (not those inside functions), and a block for each at top level and for the code between them."""
    grammar = GRAMMARS[language]
    data = text.encode()
    parser = grammar.parser()
    read = without_macros(data) if language == "cpp" else data
    root = _tree(parser, read, text, language).root_node
    walker = Walker(grammar)
    if root.has_error and (spelled := respelled(read, grammar.package)) != read:
        read = spelled
        root = parser.parse(read).root_node
    walker.walk(top_nodes(parser, read, root, walker.roles))
    found, imports = walker.found, walker.imports
    licence = licence_of(text)
    if licence:
        end = len(text[: licence[-1].end].encode())
        found = [
            one._replace(above=tuple(c for c in one.above if c.start_byte >= end))
            if one.above and one.above[0].start_byte < end
            else one
            for one in found
        ]
    source = Source(text, data, grammar, walker.names, walker.kinds)
    docstring = python_docstring(root, data) if grammar.docstring_inside else None
    metadata = {}
    if imports:
        metadata["imports"] = "\n".join(
            " ".join(data[i.start_byte : i.end_byte].decode().split()) for i in imports[:MAX_IMPORTS]
        )
    if root.has_error:
        metadata["syntax"] = "has errors"
    tops = [source.rows((*one.above, one.first)) for one in found if not one.parents]
    blocks = without(_blocks(text, tops, source.rows((docstring,)) if docstring is not None else None), licence, text)
    return Parsed(text, tuple(blocks), metadata, source.definitions(found))


def _tree(parser: "Parser", data: bytes, text: str, language: str) -> "Tree":
    """The tree of a file; what C keeps for C++ compilers is left out, since its braces stand there in halves."""
    places = list(guarded(text)) if language == "c" and GUARD in text else []
    if not places:
        return parser.parse(data)
    from tree_sitter import Range

    parts, begin = [], (0, (0, 0))
    for place in (place for pair in places for place in pair):
        byte = place if len(text) == len(data) else len(text[:place].encode())
        parts.append((byte, (text.count("\n", 0, place), 0)))
    edges = [begin, *parts, (len(data), (text.count("\n"), len(data) - (data.rfind(b"\n") + 1)))]
    parser.included_ranges = [
        Range(first, last, start, end) for (start, first), (end, last) in zip(edges[::2], edges[1::2], strict=True)
    ]
    try:
        return parser.parse(data)
    finally:
        parser.included_ranges = []


def parse_plain_code(text: str) -> Parsed:
    """Lines of code that no grammar reads."""
    parsed = parse_lines(text)
    return replace(parsed, blocks=tuple(without(parsed.blocks, licence_of(text), text)))


def parse_sql(text: str) -> Parsed:
    """Tables, views and routines of SQL, and a block for each and for what stands between."""
    licence = licence_of(text)
    found = sql_definitions(text, first=licence[-1].end if licence else 0)
    tops = [_rows(text, one) for one in found if not one.enclosing]
    return Parsed(text, tuple(without(_blocks(text, tops, None), licence, text)), {}, found)


def _rows(text: str, one: Definition) -> Rows:
    """The whole lines of a definition."""
    newline = text.find("\n", one.end)
    end = newline + 1 if newline >= 0 else len(text)
    return Rows(one.line_start - 1, one.line_end, text.rfind("\n", 0, one.start) + 1, end)


def _blocks(text: str, tops: Sequence[Rows], docstring: Rows | None) -> Iterator[Block]:
    """The docstring, each top-level definition with what stands right above it, and the code between."""
    done = run = docstring or Rows(0, 0, 0, 0)
    if docstring is not None:
        yield from _block(text, "code", 0, 0, docstring.start)
        yield from _block(text, "paragraph", docstring.first, docstring.start, docstring.end)
    for rows in tops:
        if rows.first < done.last:  # shares a line with the one before
            done = rows if rows.last > done.last else done
            continue
        yield from _block(text, "code", run.last, run.end, rows.start)
        yield from _block(text, "code", rows.first, rows.start, rows.end)
        done = run = rows
    yield from _block(text, "code", done.last, done.end, len(text))


def _block(text: str, kind: BlockType, row: int, start: int, end: int) -> Iterator[Block]:
    """A block of the whole lines text[start:end], which begin in a row, without the blank ones around it."""
    lines = text[start:end].rstrip()
    if not lines:
        return
    end = start + len(lines)
    words = end - len(lines.lstrip())  # where they begin
    first = text.rfind("\n", start, words) + 1 or start
    row += text.count("\n", start, first)
    yield Block(kind, text[first:end], first, end, row + 1, row + 1 + text.count("\n", first, end))
