"""Source code by tree-sitter: its definitions, and blocks of top-level code.

A query would visit every node; walking only what may hold a definition costs a fraction of the parse. Text that does
not parse leaves error nodes, and what stands around them is found all the same.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.code.definitions import Found, Rows, Source, body_of, last_row, python_docstring
from ray_ft.grammars import GRAMMARS, Grammar
from ray_ft.rows import Block, BlockType

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_IMPORTS = 200
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
    found: list[Found] = []
    _walk(root, grammar, found, imports)
    source = Source(text, data)
    docstring = python_docstring(root, data) if grammar.docstring_inside else None
    metadata = {}
    if imports:
        metadata["imports"] = "\n".join(" ".join((i.text or b"").decode().split()) for i in imports[:MAX_IMPORTS])
    if root.has_error:
        metadata["syntax"] = "has errors"
    tops = [source.rows((*one.above, one.first)) for one in found if not one.parents]
    blocks = tuple(_blocks(text, tops, source.rows((docstring,)) if docstring is not None else None))
    return Parsed(text, blocks, metadata, source.definitions(found, grammar))


def _walk(
    parent: "Node",
    grammar: Grammar,
    found: list[Found],
    imports: list["Node"],
    parents: tuple["Node", ...] = (),
    wrapper: "Node | None" = None,
    outer: tuple["Node", ...] = (),
) -> None:
    """Find definitions below a node; `wrapper` belongs to the one in it, and so does `outer`, the comments above."""
    roles = grammar.roles()
    above: tuple[Node, ...] = outer
    for node in parent.named_children:
        role = roles.get(node.kind_id)
        if role is None:
            above = ()
            continue
        touches = bool(above) and node.start_point.row - last_row(above[-1]) <= 1
        if role == "comments" or role == "attributes":
            above = (*above, node) if touches else (node,)
            continue
        comments = outer if wrapper is not None else above if touches else ()
        above = ()
        if role == "functions":
            body = body_of(node)
            if body is not None:
                found.append(Found(node, body, wrapper or node, comments, parents, False))
        elif role == "imports":
            imports.append(node)
        elif role == "classes" or role == "scopes":
            body = body_of(node)
            if body is not None and len(parents) < MAX_NESTING:
                if role == "classes":
                    found.append(Found(node, body, wrapper or node, comments, parents, True))
                # Ruby's grammar puts a comment above a class's first member before its body.
                inner = tuple(c for c in node.named_children if c.type in grammar.comments)
                _walk(body, grammar, found, imports, (*parents, node), None, inner)
        elif role == "wrappers":
            _walk(node, grammar, found, imports, parents, wrapper or node, comments)
        else:
            _walk(node, grammar, found, imports, parents)


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
