"""What JavaScript and TypeScript define by giving a value: functions, classes and objects of them, with their names.

Names are those that users write: `exports.run`, `Pump.prototype.run` and `run = () => {}` are run, Pump.run and run.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node

FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
CLASS_VALUES = frozenset({"class", "class_declaration"})
AROUND = frozenset(
    {"parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression", "unary_expression"}
)
MAY_DEFINE = FUNCTION_VALUES | CLASS_VALUES | AROUND | {"object", "call_expression"}
UNSAID = frozenset({"", "exports", "module", "prototype", "this", "window", "global", "globalThis", "self", "root"})
WRAPS = re.compile(
    r"(?:^|\.)(?:memo|memoi[sz]e|forwardRef|observer|debounce|throttle|once|curry|partial|promisify|callbackify|inject"
    r"|connect|compose|deprecate|(?:wrap|async|catch|with|use|define|create|handle|guard|cached?)[A-Z]?\w*)$"
)  # of functions that give back the function which they take, changed
NO_WRAP = re.compile(r"(?:^|\.)(?:lazy|set\w+|useState|useEffect|useMemo|create\w*(?:Root|Element|Server|Store))$")
MIXES = re.compile(r"(?:^|\.)(?:assign|extend|mixin|inherits|augment)$")  # members of one object into another
DEFINES = re.compile(r"(?:^|\.)define[A-Z]\w*$")  # a member by its name
MODULES = re.compile(
    r"^(?:define|require|requirejs|jQuery|\$|System\.register|AMD\.\w+)$"
)  # run the function they take
PLAIN_NAME = re.compile(r"[\w$-]++")
MAX_DEPTH = 8  # of values in values


class Value(NamedTuple):
    """A value: `node` is what it is known by, `body` what it holds; scopes are objects and functions that run once."""

    name: str
    node: "Node"
    body: "Node"
    kind: Literal["function", "class", "scope", "import"]


def values_of(node: "Node") -> Iterator[Value]:
    """What a statement, declaration, member of a class or of an object defines; nothing for all others."""
    kind = node.type
    if kind == "variable_declarator":
        if not _may_define(node.child_by_field_name("value")):
            return
        name = node.child_by_field_name("name")
        yield from _named(_text(name) if name is not None and name.type == "identifier" else "", node, "value")
    elif kind == "pair":
        if not _may_define(node.child_by_field_name("value")):
            return
        yield from _named(_member(node.child_by_field_name("key")), node, "value")
    elif kind in ("field_definition", "public_field_definition"):
        if not _may_define(node.child_by_field_name("value")):
            return
        yield from _named(
            _member(node.child_by_field_name("property") or node.child_by_field_name("name")), node, "value"
        )
    elif kind == "export_statement":
        if node.child_by_field_name("value") is not None:
            yield from _named("", node, "value", unsaid="default", is_module=True)
    elif kind == "expression_statement" and (first := node.named_child(0)) is not None:
        if first.type == "assignment_expression":
            yield from _assigned(first)
        else:
            yield from _called(first)


def _may_define(value: "Node | None") -> bool:
    """Whether a value is of a kind that defines something; most are not, and most calls load a module."""
    if value is None or value.type not in MAY_DEFINE:
        return False
    callee = value.child_by_field_name("function") if value.type == "call_expression" else None
    return callee is None or callee.type != "identifier" or callee.text != b"require"


def _named(name: str, node: "Node", field: str, *, unsaid: str = "", is_module: bool = False) -> Iterator[Value]:
    """What a node's value defines, under a name or its own."""
    given = node.child_by_field_name(field)
    value = _unwrapped(given, name) if given is not None else None
    if value is None:
        return
    if value.type in FUNCTION_VALUES or value.type in CLASS_VALUES:
        name = name or _text(value.child_by_field_name("name")) or unsaid
        body = value.child_by_field_name("body")
        if body is not None and name:
            yield Value(name, node, body, "class" if value.type in CLASS_VALUES else "function")
    elif value.type == "object" and (name or is_module):
        yield Value(name, node, value, "scope")
    elif value.type == "call_expression" and (run := _run_at_once(value)) is not None and name:
        yield Value(name, node, run, "scope")


def _assigned(node: "Node") -> Iterator[Value]:
    """What `a.b = c.d = value` defines; the first name that says something names it."""
    names = [node.child_by_field_name("left")]
    last: Node = node
    while (right := last.child_by_field_name("right")) is not None and right.type == "assignment_expression":
        names.append(right.child_by_field_name("left"))
        last = right
    if not _may_define(right):
        return
    said = [name for name in map(_target, names) if name is not None]
    if len(said) == len(names):
        yield from _named(next(filter(None, said), ""), last, "right", unsaid="exports", is_module=True)


def _called(node: "Node") -> Iterator[Value]:
    """What a statement that is a call defines: functions that run at once, and members given to an object."""
    call: Node | None = node
    while call is not None and call.type in AROUND:
        call = call.named_child(0)
    if call is None or call.type != "call_expression":
        return
    run = _run_at_once(call)
    callee = _text(call.child_by_field_name("function")) if run is None else ""
    runs = run is not None or MODULES.match(callee) is not None
    mixes, defines = (len(callee) < 80 and known.search(callee) is not None for known in (MIXES, DEFINES))
    if not (runs or mixes or defines):
        return  # most calls, whose arguments are nothing to us
    given = call.child_by_field_name("arguments")
    arguments = given.named_children if given is not None else []
    if runs:
        yield from [Value("", call, run, "scope")] if run is not None else ()
        for argument in arguments:
            body = argument.child_by_field_name("body") if argument.type in FUNCTION_VALUES else None
            if body is not None and body.type == "statement_block":
                yield Value("", argument, body, "scope")
    elif mixes and arguments:
        owner = _target(arguments[0])
        for argument in arguments[1:]:
            if argument.type == "object" and owner is not None:
                yield Value(owner, argument, argument, "scope")
    elif defines and len(arguments) == 3 and arguments[1].type == "string":
        owner, value = _target(arguments[0]), arguments[2]
        body = value.child_by_field_name("body") if value.type in FUNCTION_VALUES else None
        if owner is not None and body is not None and (name := _member(arguments[1])):
            yield Value(f"{owner}.{name}" if owner else name, node, body, "function")


def _run_at_once(call: "Node") -> "Node | None":
    """The body of the function that `(function () { ... })()` calls, in any of its spellings."""
    called = call.child_by_field_name("function")
    if called is not None and called.type == "member_expression":  # .call(this)
        property_ = called.child_by_field_name("property")
        called = called.child_by_field_name("object") if _text(property_) in ("call", "apply") else None
    while called is not None and called.type == "parenthesized_expression":
        called = called.named_child(0)
    body = called.child_by_field_name("body") if called is not None and called.type in FUNCTION_VALUES else None
    return body if body is not None and body.type == "statement_block" else None


def _unwrapped(value: "Node", name: str) -> "Node | None":
    """The value without casts and without what wraps a function, as `memo(forwardRef(function ...))` does."""
    for _ in range(MAX_DEPTH):
        inner: Node | None
        if value.type in AROUND and value.type != "unary_expression":
            inner = value.named_child(0)
        elif value.type == "call_expression" and _wraps(value, name):
            given = value.child_by_field_name("arguments")
            inside = given.named_children if given is not None else []
            inner = next((a for a in inside if a.type in FUNCTION_VALUES or a.type == "call_expression"), None)
        else:
            return value
        if inner is None:
            return None
        value = inner
    return None


def _wraps(call: "Node", name: str) -> bool:
    """Whether a call gives back the function it is given: known by its name, or by the capital of a component's."""
    callee = call.child_by_field_name("function")
    while callee is not None and callee.type == "call_expression":  # connect(state)(...)
        callee = callee.child_by_field_name("function")
    if callee is None or callee.type not in ("identifier", "member_expression"):
        return False
    words = _text(callee)
    is_component = name[:1].isupper() and callee.type == "identifier"
    return len(words) < 80 and not NO_WRAP.search(words) and (is_component or WRAPS.search(words) is not None)


def _target(node: "Node | None") -> str | None:
    """The name that something is assigned to, without what only says where; None where it is computed."""
    parts: list[str] = []
    while node is not None and node.type in ("member_expression", "subscript_expression"):
        index = node.child_by_field_name("index")
        is_named = index is None or index.type == "string"
        name = _member(index or node.child_by_field_name("property")) if is_named else ""
        if not name:
            return None
        parts.append(name)
        node = node.child_by_field_name("object")
    if node is None or node.type not in ("identifier", "this"):
        return None
    parts.append(_text(node))
    return ".".join(part for part in reversed(parts) if part not in UNSAID)


def _member(node: "Node | None") -> str:
    """A member's name, a quoted one without its quotes; "" for a computed one."""
    if node is None or node.type == "computed_property_name" or node.child_count > 3:
        return ""
    words = _text(node).strip("\"'`")
    return words if PLAIN_NAME.fullmatch(words) or node.type == "private_property_identifier" else ""


def _text(node: "Node | None") -> str:
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""
