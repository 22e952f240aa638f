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
TRIVIAL = re.compile(rb"[\s{};]*(?:pass|\.\.\.|end)?[\s{};]*")
MAX_TRIVIAL = 200  # bytes of a body that may be nothing
SPACES_OF_BREAKS = re.compile(r"(?<=[(\[])\s+|,?\s+(?=[)\]])")
COMMENT_MARKS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|\*|//+!?|#+|--+)?[ \t]?|\s*\*+/[ \t]*$", re.MULTILINE)
XML_TAG = re.compile(r"</?(?:summary|remarks|para)>")
FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
LAST_NAME = re.compile(r"(\w+)\W*$")
MAX_IMPORTS = 200
QUOTES = ('"""', "'''")


@dataclass(frozen=True)
class Found:
    """A definition's nodes: `first` is the outermost that belongs to it, `above` the comments right above that."""

    node: "Node"
    body: "Node"
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
    for i in range(body.named_child_count):
        node = body.named_child(i)
        if node is None or node.type == "comment":
            continue
        first = node.named_child(0) if node.type == "expression_statement" else None
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
        self.scopes: dict[int, tuple[str, str]] = {}  # name and signature, by the node's id

    def definitions(self, found: Sequence[Found], grammar: Grammar) -> tuple[Definition, ...]:
        """The rows of what was found, each with the imports and the file's own definitions that it uses."""
        names = [_name(one.node) for one in found]
        own = {name.rsplit(".", 1)[-1].encode() for name in names}
        uses = self._uses(found, own | self.known)
        return tuple(
            self._definition(one, name, used & self.known, used & own, grammar)
            for one, name, used in zip(found, names, uses, strict=True)
        )

    def _uses(self, found: Sequence[Found], wanted: set[bytes]) -> list[set[bytes]]:
        """The wanted words in each definition; a class has those of its members, so no byte is looked at twice."""
        spans = [(one.first.start_byte, one.first.end_byte) for one in found]
        uses = [set[bytes]()] * len(found)
        following = [0] * len(found)  # the first definition behind each
        for i in reversed(range(len(found))):
            position, end = spans[i]
            used, rest, inner = set[bytes](), [], i + 1
            while inner < len(found) and spans[inner][0] < end:
                rest.append(self.data[position : spans[inner][0]])
                used |= uses[inner]
                position, inner = spans[inner][1], following[inner]
            rest.append(self.data[position:end])
            used |= wanted.intersection(b" ".join(rest).translate(WORDS).split())
            uses[i], following[i] = used, inner
        return uses

    def _definition(self, one: Found, name: str, used: set[bytes], calls: set[bytes], grammar: Grammar) -> Definition:
        above = () if grammar.docstring_inside else one.above
        first = above[0] if above else one.first
        start, end = self._line_start(first.start_byte), one.first.end_byte
        inner = python_docstring(one.body) if grammar.docstring_inside else None
        body_start = one.body.start_byte if inner is None else min(inner.end_byte, end)
        scopes = [self._scope(p) for p in one.parents]
        own_name = name.rsplit(".", 1)[-1].encode()
        return Definition(
            name=".".join([*(scope[0] for scope in scopes), name]) if scopes else name,
            kind="class" if one.is_class else "method" if scopes or "." in name else "function",
            start=self._char(start),
            end=self._char(end),
            body_start=self._char(body_start),
            line_start=first.start_point.row + 1,
            line_end=one.first.end_point.row + 1,
            signature=self._signature(one.node if grammar.docstring_inside else one.first, one.body),
            docstring=_string_value(inner) if inner is not None else _comment(above, grammar) if above else "",
            enclosing=scopes[-1][1] if scopes else "",
            imports=tuple(i for i, known in zip(self.imports, self.names, strict=True) if known & used) if used else (),
            calls=tuple(sorted(word.decode() for word in calls if word != own_name)),
            is_trivial=self._is_trivial(body_start, one.body.end_byte),
        )

    def _signature(self, node: "Node", body: "Node") -> str:
        """The header on one line, without a comment that stands at its end."""
        start, end = node.start_byte, body.start_byte
        header = self.data[start:end].rstrip()
        if b"\n" in header:
            comments = (c.start_byte for c in node.named_children if "comment" in c.type)
            end = min((place for place in comments if place < end), default=end)
            words = " ".join(self.data[start:end].decode("utf-8", "replace").split())
            return SPACES_OF_BREAKS.sub("", words).rstrip(":{= ").removesuffix("=>").rstrip()
        return header.decode("utf-8", "replace").rstrip(":{= ").removesuffix("=>").rstrip()

    def _scope(self, node: "Node") -> tuple[str, str]:
        """Name and signature of a class that holds definitions, found once."""
        found = self.scopes.get(node.id)
        if found is None:
            body = body_of(node)
            found = self.scopes[node.id] = (_name(node), self._signature(node, body) if body is not None else "")
        return found

    def _is_trivial(self, start: int, end: int) -> bool:
        body = self.data[start:end] if end - start < MAX_TRIVIAL else b"long"
        return TRIVIAL.fullmatch(body) is not None

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
    if (name := node.child_by_field_name("name")) is not None and node.type != "method_declaration":
        return _text(name).replace("::", ".")
    receiver = node.child_by_field_name("receiver")
    match = LAST_NAME.search(_text(receiver)) if receiver is not None else None
    inner: Node | None = node
    while name is None and inner is not None:
        inner = inner.child_by_field_name("declarator")
        name = inner if inner is not None and inner.child_by_field_name("declarator") is None else None
    name = name or node.child_by_field_name("type")
    words = _text(name).replace("::", ".") if name is not None else ""
    return f"{match.group(1)}.{words}" if match else words


def _string_value(node: "Node") -> str:
    """A Python docstring's words; bytes and f-strings are none."""
    source = _text(node)
    if source[:3] in QUOTES and source[-3:] == source[:3] and "\\" not in source and source.count(source[:3]) == 2:
        return cleandoc(source[3:-3])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            value = ast.literal_eval(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""
    # An escape such as \ud800 makes text that cannot be written as UTF-8.
    return cleandoc(value).encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _comment(nodes: Sequence["Node"], grammar: Grammar) -> str:
    words = "\n".join(_text(n).rstrip("\n") for n in nodes if n.type in grammar.comments)
    return cleandoc(XML_TAG.sub("", COMMENT_MARKS.sub("", words))) if words else ""


def _text(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")
