"""Code in an answer: where it stands, how it parses, and the names in it; tree-sitter reads, nothing is run.

A method by itself is no whole program in some languages, so code is also read inside a class; the reading with the
least text in errors counts.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ray_ft.fences import fenced_in
from ray_ft.grammars import GRAMMARS

if TYPE_CHECKING:
    from tree_sitter import Node, Tree, TreeCursor

IN_CLASS = "class A {{\n{}\n}}"
AROUND = {
    "java": (IN_CLASS,), "csharp": (IN_CLASS,),
    "javascript": (IN_CLASS,), "typescript": (IN_CLASS,), "tsx": (IN_CLASS,),
    "php": ("<?php\n{}", "<?php class A {{\n{}\n}}"), "cpp": ("class A {{\n{}\n}};",), "rust": ("impl A {{\n{}\n}}",),
}  # fmt: skip
"""What else code may stand in, by language."""
NAMES = frozenset({
    "identifier", "field_identifier", "type_identifier", "property_identifier", "namespace_identifier",
    "package_identifier", "statement_identifier", "shorthand_property_identifier",
    "shorthand_property_identifier_pattern", "private_property_identifier", "shorthand_field_identifier",
    "implicit_parameter", "constant", "name", "variable_name", "word", "simple_identifier",
})  # fmt: skip
"""Leaves that are names, in all grammars."""
BINDING = frozenset({"left", "name", "pattern", "declarator", "parameters", "parameter", "alias", "key"})
"""Fields of a node below which names are made, not used."""
USING = frozenset({
    "type", "value", "default_value", "right", "arguments", "argument", "body", "object", "operand", "index", "scope",
    "subscript", "return_type", "result", "superclass", "superclasses", "interfaces", "constraints", "bound", "trait",
    "size", "default_type", "condition", "bounds",
})  # fmt: skip
"""Fields below which they are used all the same."""
HOLD_NEW = frozenset({"variable_declaration", "parameter", "class_parameter"})
"""Nodes of Kotlin whose identifier, without a field, is made there."""
NOT_MADE = re.compile(
    r"import|use_|invocation|call|member_access|keyword_argument|^command$|scope|^qualified|^argument|_type$"
)
"""Nodes whose `name` is somebody else's."""


@dataclass(frozen=True)
class Code:
    """One piece of code as it was read."""

    text: str
    tree: "Tree"
    is_whole: bool  # without errors, and more than nothing

    @property
    def root(self) -> "Node":
        """The tree's first node."""
        return self.tree.root_node


def code_in(text: str) -> str:
    """The fenced blocks of a text, one after another; without any, all of it."""
    blocks = [block.body for block in fenced_in(text)]
    return "\n".join(blocks) if blocks else text


@lru_cache(maxsize=64)
def read_code(text: str, language: str) -> Code:
    """Parse code of a language of GRAMMARS, alone or in what it may stand in."""
    parser = GRAMMARS[language].parser()
    best: tuple[int, Code] | None = None
    # PHP without its mark would be text, which parses whatever it is.
    bare = ("{}",) if language != "php" or text.lstrip().startswith("<?") else ()
    for around in (*bare, *AROUND.get(language, ())):
        tree = parser.parse(around.format(text).encode("utf-8", "replace"))
        wrong = _wrong(tree) if tree.root_node.has_error else 0
        if best is None or wrong < best[0]:
            best = wrong, Code(text, tree, wrong == 0 and bool(text.strip()) and _has_code(tree.root_node))
        if not wrong:
            break
    assert best is not None
    return best[1]


def leaves(code: Code) -> list[tuple[str, str]]:
    """Kind and text of every token, in order, without comments."""
    return [(node.type, _text(node)) for node, _, _ in walk(code.tree) if _is_leaf(node)]


def names(code: Code) -> Counter[str]:
    """How often each name stands in the code."""
    return Counter(_text(node) for node, _, _ in walk(code.tree) if _is_name(node))


def made_and_used(code: Code) -> tuple[set[str], set[str]]:
    """Names that the code makes (parameters, variables, functions, attributes that it sets), and those it only uses.

    Variables of PHP and of shells are known by their sign, and need not be told apart.
    """
    made: set[str] = set()
    used: set[str] = set()
    for node, parent, is_made in walk(code.tree):
        if not _is_name(node) or parent in ("variable_name", "lifetime", "attribute_item"):
            continue
        if node.type == "variable_name" or (
            node.type == "word" and parent not in ("command_name", "function_definition")
        ):
            continue
        (made if is_made else used).add(_text(node))
    return made, used - made


def walk(tree: "Tree") -> Iterator[tuple["Node", str, bool]]:
    """Every node with its parent's type, and whether names in it are made there; by a cursor, however deep the tree."""
    cursor = tree.walk()
    made, parents = [False], [""]
    while True:
        node = cursor.node
        assert node is not None
        is_made = _is_made(cursor, parents[-1], made[-1])
        yield node, parents[-1], is_made
        if not _is_comment(node) and cursor.goto_first_child():
            made.append(is_made)
            parents.append(node.type)
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            made.pop()
            parents.pop()


def _is_made(cursor: "TreeCursor", parent: str, inherited: bool) -> bool:
    field = cursor.field_name or ""
    kind = cursor.node.type if cursor.node is not None else ""
    if field in USING or parent in ("argument_list", "arguments") or kind == "user_type":
        return False
    is_new = kind == "implicit_parameter" or (kind == "identifier" and parent in HOLD_NEW)
    if inherited or is_new or field == "alias" or parent == "exception_variable" or "type_param" in parent:
        return True
    if field == "left":
        return bool(re.search(r"assign|short_var|^for|each|range|named_expression|let", parent))
    if field == "name" and parent.endswith("_specifier"):  # C names a struct wherever it is used
        node = cursor.node
        return node is not None and node.parent is not None and node.parent.child_by_field_name("body") is not None
    return field in BINDING and not NOT_MADE.search(parent)


def _is_name(node: "Node") -> bool:
    return node.is_named and node.type in NAMES and _is_leaf(node)


def _is_leaf(node: "Node") -> bool:
    return node.child_count == 0 and not _is_comment(node) and node.end_byte > node.start_byte


def _is_comment(node: "Node") -> bool:
    return "comment" in node.type


def _has_code(root: "Node") -> bool:
    return any(not _is_comment(node) for node in root.named_children)


def _wrong(tree: "Tree") -> int:
    """Bytes in errors; what is missing counts as one."""
    return sum(
        max(1, node.end_byte - node.start_byte) for node, _, _ in walk(tree) if node.type == "ERROR" or node.is_missing
    )


def _text(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")
