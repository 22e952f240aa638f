"""Source code by tree-sitter: its definitions, and blocks of top-level code.

A query would visit every node; walking only what may hold a definition costs a fraction of the parse. Text that does
not parse leaves error nodes, and what stands around them is found all the same.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ray_ft.data.formats.base import Lines, Parsed
from ray_ft.data.formats.definitions import Found, Source, body_of, python_docstring
from ray_ft.data.formats.grammars import GRAMMARS, Grammar
from ray_ft.rows import Block

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_NESTING = 40  # of scopes; deeper ones are machine-made


def code_parser(language: str) -> Callable[[str], Parsed]:
    """The parser of a language of GRAMMARS."""
    return partial(parse_code, language=language)


def parse_code(text: str, *, language: str) -> Parsed:
    """Definitions (not those inside functions), and a block for each at top level and for the code between them."""
    grammar = GRAMMARS[language]
    data = text.encode()
    root = grammar.parser().parse(data).root_node
    imports: list[Node] = []
    found = list(_walk(root, grammar, imports))
    source = Source(text, data, [node.text or b"" for node in imports])
    tops = [
        (min(n.start_point.row for n in (*one.above, one.first)), last_row(one.first) + 1)
        for one in found
        if not one.parents
    ]
    docstring = _module_docstring(root) if grammar.docstring_inside else None
    metadata = {"imports": "\n".join(source.imports)} if source.imports else {}
    if root.has_error:
        metadata["syntax"] = "has errors"
    return Parsed(text, tuple(_blocks(Lines(text), tops, docstring)), metadata, source.definitions(found, grammar))


def _walk(
    parent: "Node",
    grammar: Grammar,
    imports: list["Node"],
    parents: tuple["Node", ...] = (),
    wrapper: "Node | None" = None,
    outer: tuple["Node", ...] = (),
) -> Iterator[Found]:
    """Definitions below a node; `wrapper` belongs to the one that it holds, and so does `outer`, the comments above."""
    above = list(outer)
    for node in parent.named_children:
        kind = node.type
        touches = bool(above) and node.start_point.row - last_row(above[-1]) <= 1
        if kind in grammar.comments or kind in grammar.attributes:
            above = [*above, node] if touches else [node]
            continue
        comments = outer if wrapper is not None else tuple(above) if touches else ()
        above = []
        if kind in grammar.imports:
            imports.append(node)
        elif kind in grammar.functions:
            body = body_of(node)
            if body is not None:
                yield Found(node, body, wrapper or node, comments, parents, is_class=False)
        elif kind in grammar.classes or kind in grammar.scopes:
            body = body_of(node)
            if body is not None and len(parents) < MAX_NESTING:
                if kind in grammar.classes:
                    yield Found(node, body, wrapper or node, comments, parents, is_class=True)
                # Ruby's grammar puts a comment above a class's first member before its body.
                inner = tuple(c for c in node.named_children if c.type in grammar.comments)
                yield from _walk(body, grammar, imports, (*parents, node), None, inner)
        elif kind in grammar.wrappers:
            yield from _walk(node, grammar, imports, parents, wrapper or node, comments)
        elif kind in grammar.inside:
            yield from _walk(node, grammar, imports, parents)


def last_row(node: "Node") -> int:
    """0-based line of a node's last character; some grammars count the newline after a comment to it."""
    end = node.end_point
    return end.row - (end.column == 0 and end.row > node.start_point.row)


def _module_docstring(root: "Node") -> tuple[int, int] | None:
    """First line and the line after the last of a module's docstring."""
    node = python_docstring(root)
    return (node.start_point.row, node.end_point.row + 1) if node is not None else None


def _blocks(lines: Lines, tops: Sequence[tuple[int, int]], docstring: tuple[int, int] | None) -> Iterator[Block]:
    """The docstring, each top-level definition with what stands right above it, and the code between."""
    position = 0
    if docstring is not None:
        position = docstring[1]
        yield from _block(lines, 0, docstring[0], code=True)
        yield from _block(lines, *docstring, code=False)
    run = position
    for first, end in tops:
        if first < position:  # shares a line with the one before
            position = max(position, end)
            continue
        yield from _block(lines, run, first, code=True)
        yield from _block(lines, first, end, code=True)
        run = position = end
    yield from _block(lines, max(run, position), len(lines), code=True)


def _block(lines: Lines, first: int, last: int, *, code: bool) -> Iterator[Block]:
    block = lines.block("code" if code else "paragraph", first, last)
    if block is not None:
        yield block
