"""What a definition uses of its file: imports, and other definitions; found among its words, without types."""

import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import NamedTuple

from ray_ft.rows import Definition, Document

Place = tuple[int, int, str]

WORDS = bytes(c if c > 127 or c in b"_(." or chr(c).isalnum() else ord(" ") for c in range(256))
NO_NAMES = frozenset({b"self", b"crate", b"super"})  # which Rust imports, and every method says
BARE_CALLS = frozenset(
    {"ruby", "bash", "perl", "scala", "terraform", "sql"}
)  # where a method is called without brackets
BOUND = re.compile(r"(?<!\w)(\w++)\s*+(?:[;,}\"')=]|\bfrom\b|$)", re.MULTILINE)  # names that an import makes known


MAX_IMPORT_LINE = 100  # characters; shorter ones are told as they are


class Uses(NamedTuple):
    """The import lines whose names a definition uses, and the names of what it calls, sorted."""

    imports: tuple[str, ...]
    calls: tuple[str, ...]


def uses_of(document: Document) -> Mapping[Place, Uses]:
    """What each definition uses, by its place."""
    imports = list(dict.fromkeys(document.metadata.get("imports", "").split("\n")))
    known_by = [{word.encode() for word in BOUND.findall(line)} - NO_NAMES for line in imports]
    own = {d.name.rpartition(".")[2].encode() for d in document.definitions}
    words = _words_in(document, _spellings(document, set[bytes]().union(*known_by)))
    members = _members(document.definitions)
    found: dict[Place, Uses] = {}
    for definition, used in zip(document.definitions, words, strict=True):
        lines = [_only(i, used) for i, known in zip(imports, known_by, strict=True) if known & used] if used else []
        # What it stands in and what stands in it is no use.
        calls = (used & own).difference(definition.name.encode().split(b"."), members.get(definition.name, ()))
        found[place_of(definition)] = Uses(tuple(lines), tuple(sorted(word.decode() for word in calls)))
    return found


def _only(line: str, used: Set[bytes]) -> str:
    """A long import line with those of its names that are used."""
    if len(line) <= MAX_IMPORT_LINE:
        return line
    head, names, tail = _listed(line)
    kept = [one for one, known in names if known & used]
    gap = "" if head[-1:] == "(" else " "
    return f"{head}{gap}{', '.join(kept)}{gap}{tail}".rstrip() if kept else line


@lru_cache(maxsize=256)
def _listed(line: str) -> tuple[str, tuple[tuple[str, frozenset[bytes]], ...], str]:
    """The names of an import line, each with what it makes known, and what stands around them; none in nested lists."""
    opening = max(line.find("("), line.find("{"))
    start = opening + 1 if opening >= 0 else line.find("import ") + len("import ")
    end = max(line.rfind(")"), line.rfind("}"), start) if opening >= 0 else len(line)
    inside = line[start:end]
    if "," not in inside or any(mark in inside for mark in "(){}"):
        return line, (), ""
    names = ((one.strip(), frozenset(word.encode() for word in BOUND.findall(one))) for one in inside.split(","))
    return line[:start].rstrip(), tuple(names), line[end:]


def _spellings(document: Document, imported: set[bytes]) -> Mapping[bytes, bytes]:
    """How names of imports and definitions are written where they are used; a method's has a dot or a bracket.

    Without them a method `key` would be used wherever a variable is called so.
    """
    is_bare = document.language in BARE_CALLS
    bare = {d.name.rpartition(".")[2].encode() for d in document.definitions if is_bare or d.kind != "method"}
    names = bare | {d.name.rpartition(".")[2].encode() for d in document.definitions} | imported
    found = {name: name for name in bare | imported if len(name) > 1 or name in imported}  # a letter is a variable
    for name in names:
        found |= dict.fromkeys((name + b"(", b"." + name + b"(", *([b"." + name] if len(name) > 1 else [])), name)
    return found


def _members(definitions: Sequence[Definition]) -> Mapping[str, set[bytes]]:
    """The last names of all that stands in each class, by its name."""
    found: dict[str, set[bytes]] = {}
    for d in definitions:
        scope, _, name = d.name.rpartition(".")
        while scope:
            found.setdefault(scope, set()).add(name.encode())
            scope = scope.rpartition(".")[0]
    return found


def place_of(definition: Definition) -> Place:
    """What tells a definition from the others of its file."""
    return definition.start, definition.end, definition.name


def _words_in(document: Document, wanted: Mapping[bytes, bytes]) -> Sequence[set[bytes]]:
    """The wanted words in each definition; a class has those of its members, so no character is looked at twice."""
    text, found = document.text, document.definitions
    uses = [set[bytes]()] * len(found)
    following = [0] * len(found)  # the first definition behind each
    for i in reversed(range(len(found))):
        position, end = _head_start(found[i]), found[i].end
        used, rest, inner = set[bytes](), [], i + 1
        while inner < len(found) and _head_start(found[inner]) < end:
            rest.append(text[position : _head_start(found[inner])])
            used |= uses[inner]
            position, inner = found[inner].end, following[inner]
        rest.append(text[position:end])
        code = " ".join(rest).encode("utf-8", "replace").translate(WORDS)
        spelt = wanted.keys() & code.replace(b"(", b"( ").replace(b".", b" .").split()
        used.update(wanted[one] for one in spelt)
        uses[i], following[i] = used, inner
    return uses


def _head_start(definition: Definition) -> int:
    return max(definition.head_start, definition.start)
