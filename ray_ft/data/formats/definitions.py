"""What is known of a definition in a parsed source file: names, header, documentation, and what it uses of the file."""

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING

from ray_ft.data.formats.grammars import Grammar
from ray_ft.rows import Definition

if TYPE_CHECKING:
    import numpy as np
    from tree_sitter import Node

WORDS = bytes(c if c > 127 or c == ord("_") or chr(c).isalnum() else ord(" ") for c in range(256))
BOUND = re.compile(r"(\w+)\s*(?:[;,}\"')]|\bfrom\b|$)", re.MULTILINE)  # names that an import makes known, about
TRIVIAL = re.compile(r"[\s{};]*(?:pass|\.\.\.|end)?[\s{};]*")
SPACES_OF_BREAKS = re.compile(r"(?<=[(\[])\s+|,?\s+(?=[)\]])")
COMMENT_MARKS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|\*|//+!?|#+|--+)?[ \t]?|\s*\*+/[ \t]*$", re.MULTILINE)
XML_TAG = re.compile(r"</?(?:summary|remarks|para)>")
FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
LAST_NAME = re.compile(r"(\w+)\W*$")
MAX_IMPORTS = 200


@dataclass(frozen=True)
class Found:
    """A definition's nodes: `first` is the outermost that belongs to it, `above` the comments right above that."""

    node: "Node"
    first: "Node"
    above: tuple["Node", ...]
    parents: tuple["Node", ...]
    is_class: bool


def body_of(node: "Node") -> "Node | None":
    """What a definition holds; None for declarations and for variables that are no functions."""
    body = node.child_by_field_name("body")
    if body is not None:
        return body
    value = node.child_by_field_name("value")
    if value is not None:
        return value.child_by_field_name("body") if value.type in FUNCTION_VALUES else None
    kind = node.child_by_field_name("type")  # of Go's type_spec and C's typedef
    return (
        kind if kind is not None and kind.type in ("struct_type", "interface_type") else body_of(kind) if kind else None
    )


def python_docstring(body: "Node") -> "Node | None":
    """The string that a module, class or function begins with."""
    for node in body.named_children:
        if node.type == "comment":
            continue
        first = node.named_children[0] if node.type == "expression_statement" and node.named_children else None
        return first if first is not None and first.type in ("string", "concatenated_string") else None
    return None


class Source:
    """A text with its bytes, where tree-sitter counts, and what its imports make known."""

    def __init__(self, text: str, data: bytes, imports: Sequence[bytes]) -> None:
        self.text, self.data = text, data
        self.imports = tuple(" ".join(i.decode().split()) for i in imports[:MAX_IMPORTS])
        self.names = [{n.encode() for n in BOUND.findall(i)} for i in self.imports]
        self.known = set[bytes]().union(*self.names)
        self.to_char = _offsets(data) if len(text) != len(data) else None

    def definitions(self, found: Sequence[Found], grammar: Grammar) -> tuple[Definition, ...]:
        """The rows of what was found, each with the imports and the file's own definitions that it uses."""
        names = [_name(one.node) for one in found]
        own = {name.rsplit(".", 1)[-1].encode() for name in names}
        return tuple(self._definition(one, name, own, grammar) for one, name in zip(found, names, strict=True))

    def _definition(self, one: Found, name: str, own: set[bytes], grammar: Grammar) -> Definition:
        body = body_of(one.node)
        assert body is not None
        above = () if grammar.docstring_inside else one.above
        first = above[0] if above else one.first
        start, end = self._line_start(first.start_byte), one.first.end_byte
        inner = python_docstring(body) if grammar.docstring_inside else None
        body_start = body.start_byte if inner is None else min(inner.end_byte, end)
        words = set(self.data[start:end].translate(WORDS).split())
        used = words & self.known
        scopes = [_name(p) for p in one.parents]
        return Definition(
            name=".".join([*scopes, name]),
            kind="class" if one.is_class else "method" if scopes or "." in name else "function",
            start=self._char(start),
            end=self._char(end),
            body_start=self._char(body_start),
            line_start=first.start_point.row + 1,
            line_end=one.first.end_point.row + 1,
            signature=self._signature(one.node if grammar.docstring_inside else one.first, body),
            docstring=_string_value(inner) if inner is not None else _comment(above, grammar),
            enclosing=self._enclosing(one),
            imports=tuple(i for i, known in zip(self.imports, self.names, strict=True) if known & used) if used else (),
            calls=tuple(sorted(w.decode() for w in (words & own) - {name.rsplit(".", 1)[-1].encode()})),
            is_trivial=TRIVIAL.fullmatch(self.data[body_start : body.end_byte].decode("utf-8", "replace")) is not None,
        )

    def _signature(self, node: "Node", body: "Node") -> str:
        end = body.start_byte
        if b"\n" in self.data[node.start_byte : end]:
            comments = (c.start_byte for c in node.named_children if "comment" in c.type)
            end = min((start for start in comments if start < end), default=end)
        header = self.data[node.start_byte : end].decode("utf-8", "replace")
        header = " ".join(header.split())
        return SPACES_OF_BREAKS.sub("", header).rstrip(":{= ").removesuffix("=>").rstrip()

    def _enclosing(self, one: Found) -> str:
        body = body_of(one.parents[-1]) if one.parents else None
        return self._signature(one.parents[-1], body) if body is not None else ""

    def _line_start(self, byte: int) -> int:
        """The beginning of the line when only white space stands before."""
        line = self.data.rfind(b"\n", 0, byte) + 1
        return byte if self.data[line:byte].strip() else line

    def _char(self, byte: int) -> int:
        return byte if self.to_char is None else int(self.to_char[byte])


def _offsets(data: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Characters before each byte: bytes that continue one begin with the bits 10."""
    import numpy as np

    starts = (np.frombuffer(data, dtype=np.uint8) & 0xC0) != 0x80
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(starts)])


def _name(node: "Node") -> str:
    """A definition's name; C's stands inside its declarator, Go's methods are named after their receiver's type."""
    receiver = node.child_by_field_name("receiver")
    match = LAST_NAME.search(_text(receiver)) if receiver is not None else None
    inner: Node | None = node
    name = node.child_by_field_name("name")
    while name is None and inner is not None:
        inner = inner.child_by_field_name("declarator")
        name = inner if inner is not None and inner.child_by_field_name("declarator") is None else None
    name = name or node.child_by_field_name("type")
    words = _text(name).replace("::", ".") if name is not None else ""
    return f"{match.group(1)}.{words}" if match else words


def _string_value(node: "Node") -> str:
    """A Python docstring's words; bytes and f-strings are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            value = ast.literal_eval(_text(node))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""
    # An escape such as \ud800 makes text that cannot be written as UTF-8.
    return cleandoc(value).encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _comment(nodes: Sequence["Node"], grammar: Grammar) -> str:
    words = "\n".join(_text(n).rstrip("\n") for n in nodes if n.type in grammar.comments)
    return cleandoc(XML_TAG.sub("", COMMENT_MARKS.sub("", words))) if words else ""


def _text(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")
