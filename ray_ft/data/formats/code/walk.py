"""Walks a syntax tree for definitions, with what stands above each; what they are called is definitions.py's.

A query would visit every node; walking only what may hold a definition costs a fraction of the parse.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ray_ft.data.formats.code.definitions import Found, body_of, last_row
from ray_ft.data.formats.code.lua import lua_values
from ray_ft.data.formats.code.naming import NAMERS
from ray_ft.data.formats.code.values import Value, values_of
from ray_ft.grammars import Grammar

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_NESTING = 40  # of scopes; deeper ones are machine-made


class Walker:
    """What is found below the nodes that it is sent to: definitions, imports, and names that nodes do not say."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar, self.roles = grammar, grammar.roles()
        self.found: list[Found] = []
        self.imports: list[Node] = []
        self.names: dict[int, str] = {}  # of definitions and scopes, by the id of their node
        self.kinds: dict[int, str] = {}  # of definitions that are neither function nor class
        self.bodies, self.namer = grammar.bodies, NAMERS.get(grammar.package)
        self.has_namespaces = grammar.package == "tree_sitter_typescript"  # which stand in statements
        self.values_of = lua_values if grammar.package == "tree_sitter_lua" else values_of
        self.behind: set[int] = set()  # ids of comments about what stands on their line

    def walk(
        self,
        nodes: Sequence["Node"],
        parents: tuple["Node", ...] = (),
        wrapper: "Node | None" = None,
        outer: tuple["Node", ...] = (),
    ) -> None:
        """Find definitions among and below nodes; `wrapper`, and `outer`, comments above, belong to the first."""
        roles, found = self.roles, self.found
        above: tuple[Node, ...] = outer
        before: Node | None = None
        for node in nodes:
            last, before = before, node
            role = roles.get(node.kind_id)
            if role is None:
                above = ()
                continue
            if role == "comments" and self._is_behind(last, node):
                above = ()
                continue
            touches = bool(above) and self._touches(above[-1], node, role)
            if role == "comments" or role == "attributes" or (role == "wrappers" and self._is_signature(node)):
                above = (*above, node) if touches else (node,)
                continue
            comments = outer if wrapper is not None else above if touches else ()
            above = ()
            if role == "functions":
                body = body_of(node, self.bodies)
                if body is not None:
                    self._call(node)
                    found.append(Found(node, body, wrapper or node, self._of_this(comments, node), parents, False))
            elif role == "imports":
                self.imports.append(node)
            elif role == "classes" or role == "scopes":
                body = body_of(node, self.bodies)
                if body is not None and len(parents) < MAX_NESTING:
                    self._call(node)
                    if role == "classes":
                        found.append(Found(node, body, wrapper or node, comments, parents, True))
                    self._enter(node, body, parents)
            elif role == "values":
                for value in self.values_of(node):
                    self._take(value, wrapper or node, comments, parents)
                if self.has_namespaces and node.type == "expression_statement":
                    self.walk(node.named_children, parents)
            elif role == "wrappers":
                self.walk(node.named_children, parents, wrapper or node, comments)
                for value in values_of(node):
                    self._take(value, wrapper or node, comments, parents)
            else:
                self.walk(node.named_children, parents, None, comments if node.is_error else ())

    def _take(self, value: Value, first: "Node", comments: tuple["Node", ...], parents: tuple["Node", ...]) -> None:
        """A value with a name: a function, a class, or what has such inside; a module that is loaded."""
        if value.kind == "import":
            self.imports.append(value.node)
            return
        if len(parents) >= MAX_NESTING:
            return
        node = value.node
        if value.name:
            self.names[node.id] = value.name
        if value.kind in ("function", "class"):
            self.found.append(Found(node, value.body, first, comments, parents, value.kind == "class"))
        if value.kind == "class":
            self._enter(node, value.body, parents)
        elif value.kind == "scope":
            self.walk(value.body.named_children, (*parents, node) if value.name else parents)

    def _call(self, node: "Node") -> None:
        """Keep a definition's name and kind where its node's fields do not tell them."""
        if self.namer is not None:
            name, kind = self.namer(node)
            if name:
                self.names[node.id] = name
            if kind:
                self.kinds[node.id] = kind

    def _enter(self, node: "Node", body: "Node", parents: tuple["Node", ...]) -> None:
        # Ruby's grammar puts a comment above a class's first member before its body.
        inner = tuple(c for c in node.named_children if c.type in self.grammar.comments)
        members = body.named_children
        if members and members[0].start_byte > body.start_byte and members[0].start_point.row == body.start_point.row:
            self.behind.add(members[0].id)
        self.walk(members, (*parents, node), None, inner)

    def _is_behind(self, last: "Node | None", comment: "Node") -> bool:
        """Whether a comment stands on the line of what is before it, or goes on right below one that does."""
        if comment.id in self.behind:
            return True
        role = self.roles.get(last.kind_id) if last is not None else "attributes"
        if last is None or role == "attributes":
            return False
        start = comment.start_point
        if role != "comments":
            is_behind = last_row(last) == start.row and not last.is_error
        else:
            is_next = start.row == last_row(last) + 1 and start.column == last.start_point.column
            is_behind = is_next and last.id in self.behind
        if is_behind:
            self.behind.add(comment.id)
        return is_behind

    def _touches(self, comment: "Node", node: "Node", role: str) -> bool:
        """Whether a comment stands right above a node; JavaScript's documentation may have a blank line below it."""
        gap = node.start_point.row - last_row(comment)
        if gap != 2 or not self.grammar.gap_below or role in ("comments", "attributes"):
            return gap <= 1
        return (comment.text or b"").startswith(b"/**")

    def _is_signature(self, node: "Node") -> bool:
        """Whether a wrapper holds a header without a body: one more way to call what follows."""
        held = node.child_by_field_name("declaration") if self.grammar.signatures else None
        return held is not None and held.type in self.grammar.signatures

    def _of_this(self, above: tuple["Node", ...], node: "Node") -> tuple["Node", ...]:
        """What stands above a function, without headers of others and what stands above these."""
        if not self.grammar.signatures:
            return above
        own = node.child_by_field_name("name")
        for i in reversed(range(len(above))):
            held = above[i].child_by_field_name("declaration") or above[i]
            name = held.child_by_field_name("name") if held.type in self.grammar.signatures else own
            if name is None or own is None or name.text != own.text:
                return above[i + 1 :]
        return above
