"""The top level of a source file, read on behind what does not parse: one open bracket must not cost what follows.

A parser that has lost its way takes the rest of a file for one error, or for the inside of what is not closed. There
reading begins anew at the next line that stands like a definition: at the margin, below a blank line or a brace.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Point

MAX_BEGINNINGS = 12  # of a file; each reads what is left of it
BEGINNING = re.compile(
    rb"\n(?:[ \t\r]*+|\}[;,)]*+[ \t\r]*+)\n(?=[A-Za-z_@/#<\[])"
    rb"(?!\w++[ \t]*+:(?!:)|#[ \t]*+(?:if|else|elif|end|define|undef|include|pragma|region)|(?:case|default)\b)"
)
SWALLOWS = frozenset({"functions", "classes", "values", "wrappers"})


def top_nodes(parser: "Parser", data: bytes, root: "Node", roles: Mapping[int, str]) -> Sequence["Node"]:
    """The named nodes at top level of a parsed file; those of several trees where parts do not parse."""
    if not root.has_error:
        return _children(root)
    found: list[Node] = []
    for _ in range(MAX_BEGINNINGS):
        begin = None
        for node in _children(root):
            begin = _beginning_in(node, data, roles)
            if begin is not None:
                found += _children(_parsed(parser, data, node.start_byte, begin))
                break
            found.append(node)
        if begin is None:
            return found
        root = _parsed(parser, data, begin, len(data))
    return [*found, *_children(root)]


def _children(root: "Node") -> Sequence["Node"]:
    """The named nodes of a file; HCL's grammar has all but the first comments in a node of their own."""
    return [child for node in root.named_children for child in (node.named_children if node.type == "body" else [node])]


def _beginning_in(node: "Node", data: bytes, roles: Mapping[int, str]) -> int | None:
    """Where to begin anew inside a node that holds more than it should."""
    if not node.has_error or not (node.is_error or roles.get(node.kind_id) in SWALLOWS):
        return None
    line = max(0, data.rfind(b"\n", 0, node.start_byte))
    places = (match.end() for match in BEGINNING.finditer(data, line, node.end_byte + 1))
    return next((place for place in places if node.start_byte < place < node.end_byte), None)


def _parsed(parser: "Parser", data: bytes, begin: int, end: int) -> "Node":
    """The tree of a part; its nodes have the places that they have in the whole."""
    from tree_sitter import Parser, Range

    assert parser.language is not None
    part = Range(_point(data, begin), _point(data, end), begin, end)
    return Parser(parser.language, included_ranges=[part]).parse(data).root_node


def _point(data: bytes, byte: int) -> "Point":
    from tree_sitter import Point

    return Point(data.count(b"\n", 0, byte), byte - (data.rfind(b"\n", 0, byte) + 1))
