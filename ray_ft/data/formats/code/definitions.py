"""What is known of a definition in a parsed source file: names, header, documentation, and what it uses of the file."""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING, NamedTuple

from ray_ft.data.formats.code.naming import described
from ray_ft.grammars import Grammar
from ray_ft.rows import Definition

if TYPE_CHECKING:
    import numpy as np
    from tree_sitter import Node

TRIVIAL = re.compile(rb"[\s{};]*+(?:pass|\.\.\.|end)?+[\s{};]*+")
MAX_TRIVIAL = 200  # bytes of a body that may be nothing
SPACES_OF_BREAKS = re.compile(r"(?<=[(\[])\s++|(?:,|(?<!\s))\s++(?=[)\]])")
COMMENT_MARKS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|\*|//+!?|#+|--\[=*+\[|--+)?[ \t]?", re.MULTILINE)
LONG_COMMENT_END = re.compile(r"(?<!\s)\s*+\]=*+\]\s*+\Z")  # of Lua
IS_DOCUMENTATION = re.compile(r"/\*[*!](?![*/])|//[/!](?!/)")  # where it is told from other comments
XML_TAG = re.compile(r"</?(?:summary|remarks|para)>")
STRINGS = r"(\"(?:[^\"\\\n]|\\.){0,200}+\"|'(?:[^'\\\n]|\\.){0,200}+')"  # are left as they are
COMMENTS = {
    "//": re.compile(STRINGS + r"|//[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)"),
    "#": re.compile(STRINGS + r"|#[^\n]*+"),
    "--": re.compile(STRINGS + r"|--[^\n]*+"),
}
COMMENT_MARK = {
    **dict.fromkeys(("tree_sitter_python", "tree_sitter_ruby", "tree_sitter_bash", "tree_sitter_perl"), "#"),
    **{"tree_sitter_lua": "--", "tree_sitter_hcl": "#"},
}  # else two strokes
OPERATORS = frozenset({"operator_declaration", "conversion_operator_declaration"})
LAST_NAME = re.compile(r"(?<!\w)(\w++)\W*+$")
TEST_MACRO = re.compile(rb"(?:\w{1,60}_)?(?:TEST|BENCHMARK|FIXTURE)\w{0,60}[ \t]?\(([\w \t\n,]{1,300})\)")  # of C++
STRING_OR_COMMENT = re.compile(rb"[\s\\]*(?:#|[A-Za-z]*[\"'])")
PARAMETERS = frozenset({"class_parameters", "primary_constructor"})  # all that a class of values is made of
QUOTES = ('"""', "'''")


class Found(NamedTuple):
    """A definition's nodes: `first` is the outermost that belongs to it, `above` the comments right above that."""

    node: "Node"
    body: "Node"
    first: "Node"
    above: tuple["Node", ...]
    parents: tuple["Node", ...]
    is_class: bool


class Rows(NamedTuple):
    """Whole lines first <= i < last, which are text[start:end] with the newline of each."""

    first: int
    last: int
    start: int
    end: int


def body_of(node: "Node", types: Sequence[str] = ()) -> "Node | None":
    """What a definition holds: by its field, or the child of the first of some types; None for declarations."""
    body = node.child_by_field_name("body")
    if body is not None:
        return body
    if types:
        held = {child.type: child for child in reversed(node.named_children)}
        return next((held[kind] for kind in types if kind in held), None)
    kind = node.child_by_field_name("type")  # of Go's type_spec and C's typedef
    return (
        kind if kind is not None and kind.type in ("struct_type", "interface_type") else body_of(kind) if kind else None
    )


def python_docstring(body: "Node", data: bytes) -> "Node | None":
    """The string that a module, class or function begins with."""
    if not STRING_OR_COMMENT.match(data, body.start_byte):
        return None
    for i in range(body.named_child_count):
        node = body.named_child(i)
        if node is None or node.type == "comment":
            continue
        first = node.named_child(0) if node.type == "expression_statement" else None
        return first if first is not None and first.type in ("string", "concatenated_string") else None
    return None


def last_row(node: "Node") -> int:
    """0-based line of a node's last character; some grammars count the newline after a comment to it."""
    end = node.end_point
    return end.row - (end.column == 0 and end.row > node.start_point.row)


class Source:
    """A text with its bytes, where tree-sitter counts."""

    def __init__(
        self, text: str, data: bytes, grammar: Grammar, names: Mapping[int, str], kinds: Mapping[int, str]
    ) -> None:
        self.text, self.data, self.grammar, self.names, self.kinds = text, data, grammar, names, kinds
        self.to_char = _offsets(data) if len(text) != len(data) else None
        self.comment_mark = COMMENT_MARK.get(grammar.package, "//")
        self.scopes: dict[int, tuple[str, str]] = {}  # beginning of names and signature, by id

    def rows(self, nodes: Sequence["Node"]) -> Rows:
        """The lines from the first of some nodes to the last one's end."""
        first, last = min(nodes, key=lambda n: n.start_point.row) if len(nodes) > 1 else nodes[0], nodes[-1]
        start, row, end = self._char(first.start_byte), last_row(last), self._char(last.end_byte)
        newline = self.text.find("\n", end - (last.end_point.row > row))
        start = self.text.rfind("\n", 0, start) + 1
        return Rows(first.start_point.row, row + 1, start, newline + 1 if newline >= 0 else len(self.text))

    def definitions(self, found: Sequence[Found]) -> tuple[Definition, ...]:
        """The rows of what was found."""
        make = self._with_docstring if self.grammar.docstring_inside else self._with_comment
        made = (make(one) for one in found)
        return tuple([one for one in made if one.name[-1:] not in ("", ".")])  # an enum may have no name

    def _with_docstring(self, one: Found) -> Definition:
        """A definition whose documentation stands in its body."""
        inner = python_docstring(one.body, self.data)
        end = one.first.end_byte
        body_start = one.body.start_byte if inner is None else min(inner.end_byte, end)
        docstring = _string_value(self._text(inner)) if inner is not None else ""
        return self._definition(one, one.first, body_start, self._signature(one.node, one.body), docstring)

    def _with_comment(self, one: Found) -> Definition:
        """A definition that the comment above it documents."""
        first = one.above[0] if one.above else one.first
        docstring = self._comment(one.above) if one.above else ""
        if self.grammar.description and (words := described(one.body, self.grammar.description)):
            docstring = f"{docstring}\n\n{cleandoc(words)}".strip()
        return self._definition(one, first, one.body.start_byte, self._signature(one.first, one.body), docstring)

    def _definition(self, one: Found, first: "Node", body_start: int, signature: str, docstring: str) -> Definition:
        """The row; `first` is what its text begins with, `body_start` where its code does."""
        outer, enclosing = self._scope(one.parents) if one.parents else ("", "")
        name = outer + self._name(one.node)
        end = one.first.end_byte
        end += one.is_class and self.data[end : end + 1] == b";"  # of C++, which the class does not hold
        places = self._line_start(first.start_byte), end, body_start, one.first.start_byte
        if self.to_char is not None:
            places = tuple(self.to_char[[*places]].tolist())
        return Definition(
            name=name,
            kind=self.kinds.get(one.node.id)
            or ("class" if one.is_class else "method" if one.parents or "." in name else "function"),
            start=places[0],
            end=places[1],
            body_start=places[2],
            line_start=first.start_point.row + 1,
            line_end=one.first.end_point.row + 1,
            signature=signature,
            docstring=docstring,
            enclosing=enclosing,
            is_trivial=self._is_trivial(body_start, one.body.end_byte),
            head_start=places[3],
        )

    def _signature(self, node: "Node", body: "Node") -> str:
        """The header on one line, without the comments in it."""
        end = body.end_byte if body.type in PARAMETERS else body.start_byte
        header = self.data[node.start_byte : end].decode("utf-8", "replace")
        if self.comment_mark in header or "/*" in header:
            header = COMMENTS[self.comment_mark].sub(lambda found: found.group(1) or " ", header)
        header = header.rstrip()
        if "\n" in header:
            header = SPACES_OF_BREAKS.sub("", " ".join(header.split()))
        header = header.rstrip(":{=; ").removesuffix("=>").rstrip()
        # A function that is given to another one: the brackets around it end behind its body.
        return header + ")" * max(0, header.count("(") - header.count(")"))

    def _scope(self, parents: Sequence["Node"]) -> tuple[str, str]:
        """What names in these classes begin with, and the signature of the innermost, found once."""
        *outer, node = parents
        found = self.scopes.get(node.id)
        if found is None:
            body = body_of(node, self.grammar.bodies)
            name = f"{self._scope(outer)[0] if outer else ''}{self._name(node)}."
            found = self.scopes[node.id] = (name, self._signature(node, body) if body is not None else "")
        return found

    def _name(self, node: "Node") -> str:
        """A definition's name; C's stands inside its declarator, Go's methods are named after their receiver's type."""
        if node.id in self.names:
            return self.names[node.id]
        if node.type in OPERATORS:
            operator = node.child_by_field_name("operator")
            return f"operator {self._text(operator or node.child_by_field_name('type') or node)}"
        if (name := node.child_by_field_name("name")) is not None and node.type != "method_declaration":
            return self._text(name).replace("::", ".")
        if node.type == "function_definition" and (test := TEST_MACRO.match(self.data, node.start_byte)) is not None:
            return ".".join(word.strip(' \t\n"') for word in test.group(1).decode("utf-8", "replace").split(","))
        receiver = node.child_by_field_name("receiver")
        match = LAST_NAME.search(self._text(receiver)) if receiver is not None else None
        inner: Node | None = node
        while name is None and inner is not None:
            is_reference = inner.type == "reference_declarator"  # of C++, whose declarator has no field
            inner = inner.named_child(0) if is_reference else inner.child_by_field_name("declarator")
            is_reference = inner is not None and inner.type == "reference_declarator"
            if is_reference:
                continue
            name = inner if inner is not None and inner.child_by_field_name("declarator") is None else None
        name = name or node.child_by_field_name("type")
        words = self._text(name).replace("::", ".") if name is not None else ""
        return f"{match.group(1)}.{words}" if match else words

    def _comment(self, nodes: Sequence["Node"]) -> str:
        """The words of comments, without their marks."""
        each = [_open(self._text(n).rstrip()) for n in nodes if n.type in self.grammar.comments]
        if len(each) > 1:  # a remark beside the documentation is for authors
            each = [one for one in each if IS_DOCUMENTATION.match(one)] or each
        if self.comment_mark == "--":
            each = [LONG_COMMENT_END.sub("", one) if one.startswith("--[") else one for one in each]
        words = "\n".join(each)
        words = COMMENT_MARKS.sub("", words)
        return cleandoc(XML_TAG.sub("", words) if "<" in words else words) if words else ""

    def _text(self, node: "Node") -> str:
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def _is_trivial(self, start: int, end: int) -> bool:
        return end - start < MAX_TRIVIAL and TRIVIAL.fullmatch(self.data, start, max(start, end)) is not None

    def _line_start(self, byte: int) -> int:
        """The beginning of the line when only white space stands before."""
        line = self.data.rfind(b"\n", 0, byte) + 1
        return byte if self.data[line:byte].strip() else line

    def _char(self, byte: int) -> int:
        return byte if self.to_char is None else int(self.to_char[byte])


def _open(comment: str) -> str:
    """A comment without the mark that ends it."""
    is_closed = comment.startswith("/*") and comment.endswith("*/") and len(comment) > len("/**/")
    return comment[:-2].rstrip("*").rstrip() if is_closed else comment


def _offsets(data: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Characters before each byte: bytes that continue one begin with the bits 10."""
    import numpy as np

    starts = (np.frombuffer(data, dtype=np.uint8) & 0xC0) != 0x80
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(starts)])


def _string_value(source: str) -> str:
    """A Python docstring's words; bytes and f-strings are none."""
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
