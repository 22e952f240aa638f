"""What Lua defines by giving a value: functions that variables, members and fields of tables are set to, and modules.

`M.run = function() end`, and `run` in the table that M is set to, are both M.run.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ray_ft.data.formats.code.values import Value

if TYPE_CHECKING:
    from tree_sitter import Node


def lua_values(node: "Node") -> Iterator[Value]:
    """What an assignment, a call or a field of a table defines or loads; nothing for all others."""
    kind = node.type
    if kind == "variable_declaration":  # local, of names alone or of an assignment
        inner = node.named_child(0)
        if inner is not None and inner.type == "assignment_statement":
            yield from _assigned(inner, node)
    elif kind == "assignment_statement":
        yield from _assigned(node, node)
    elif kind == "function_call" and _loads(node):
        yield Value("", node, node, "import")
    elif kind == "field":
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None and value is not None and name.type == "identifier":
            yield from _valued(_text(name), node, value)


def _assigned(node: "Node", whole: "Node") -> Iterator[Value]:
    """Names and values of `a, b = c, d`, in pairs; the first of several stands for the whole statement."""
    sides = node.named_children
    if len(sides) != 2:
        return
    pairs = list(zip(sides[0].named_children, sides[1].named_children, strict=False))
    for i, (name, value) in enumerate(pairs):
        if name.type in ("identifier", "dot_index_expression"):
            yield from _valued(_text(name), whole if len(pairs) == 1 else name, value, is_first=i == 0)


def _valued(name: str, node: "Node", value: "Node", *, is_first: bool = True) -> Iterator[Value]:
    if value.type == "function_definition":
        body = value.child_by_field_name("body")
        if body is not None and is_first:
            yield Value(name, node, body, "function")
    elif value.type == "table_constructor":
        yield Value(name, node, value, "scope")
    elif _loads(value):
        yield Value("", node, value, "import")


def _loads(node: "Node") -> bool:
    """Whether a value is `require("module")`, or a member of it."""
    while node.type in ("dot_index_expression", "method_index_expression", "function_call"):
        called = node.child_by_field_name("name")
        if called is not None and _text(called) == "require":
            return True
        inner = node.named_child(0)
        if inner is None:
            return False
        node = inner
    return False


def _text(node: "Node | None") -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""
