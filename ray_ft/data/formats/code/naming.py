"""What definitions are called, and of what kind they are, where a grammar's nodes have no field that says so.

Names are those that users write: Terraform's `resource "aws_vpc" "main"` is aws_vpc.main, its variables var.NAME.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node

PREFIXES = {"variable": "var", "locals": "local"}  # what Terraform's expressions call them
UNNAMED = frozenset({"resource", "locals"})  # their kind is no part of the name
QUOTED = frozenset({"string_lit", "identifier"})
KINDS = {"data": "data source", "locals": "locals"}
INITIALISERS = {
    "secondary_constructor": "constructor",
    "companion_object": "Companion",
    "init_declaration": "init",
    "deinit_declaration": "deinit",
    "subscript_declaration": "subscript",
}
RECEIVERS = frozenset({"user_type", "nullable_type", "parenthesized_type"})


class Naming(NamedTuple):
    """A definition's name, and its kind where it is neither function, method nor class; "" for none of both."""

    name: str
    kind: str = ""


NOTHING = Naming("")


def _of_kotlin(node: "Node") -> Naming:
    """Extension functions and properties are named after the type that they extend, as methods are."""
    if (usual := INITIALISERS.get(node.type)) is not None:
        return Naming(_text(node.child_by_field_name("name")) or usual)
    if node.type not in ("function_declaration", "property_declaration"):
        return NOTHING
    name, receiver = node.child_by_field_name("name"), ""
    for child in node.named_children:
        if child == name or child.type == "variable_declaration":
            own = _text(name) if name is not None else _text(child.named_child(0))
            return NOTHING if name is not None and not receiver else Naming(f"{receiver}.{own}" if receiver else own)
        if child.type in RECEIVERS:
            receiver = _text(child).split("<")[0].rstrip("?").rpartition(".")[2]
    return NOTHING


def _of_swift(node: "Node") -> Naming:
    if node.type == "property_declaration":
        pattern = node.child_by_field_name("name")
        return Naming(_text(pattern.named_child(0)) if pattern is not None else "")
    if node.type == "class_declaration":  # of an extension the name may have parameters
        return Naming(_text(node.child_by_field_name("name")).split("<")[0])
    return Naming(INITIALISERS.get(node.type, ""))


def _of_lua(node: "Node") -> Naming:
    return Naming(_text(node.child_by_field_name("name")).replace(":", "."))


def _of_hcl(node: "Node") -> Naming:
    """The words before the brace: what it is, and its labels."""
    words = [_text(child).strip('"') for child in node.named_children if child.type in QUOTED]
    kind, labels = words[0] if words else "", words[1:]
    parts = labels if kind in UNNAMED and labels else [PREFIXES.get(kind, kind), *labels]
    return Naming(".".join(parts), KINDS.get(kind, kind))


NAMERS: Mapping[str, Callable[["Node"], Naming]] = {
    "tree_sitter_kotlin": _of_kotlin,
    "tree_sitter_swift": _of_swift,
    "tree_sitter_lua": _of_lua,
    "tree_sitter_hcl": _of_hcl,
}
"""By the package of a grammar."""


def described(body: "Node", key: str) -> str:
    """The text of an attribute that describes the block it stands in, as Terraform's `description`."""
    for attribute in body.named_children:
        name = attribute.named_child(0) if attribute.type == "attribute" else None
        if name is None or _text(name) != key:
            continue
        words = _text(attribute.named_child(1))
        if words.startswith("<<"):  # a heredoc: its mark stands on the first line and on the last
            return "\n".join(words.split("\n")[1:-1])
        return words[1:-1].replace('\\"', '"').replace("\\n", "\n") if words[:1] == words[-1:] == '"' else ""
    return ""


def _text(node: "Node | None") -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""
