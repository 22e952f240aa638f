"""What a definition uses of its file: imports, and other definitions; found among its words, without types."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ray_ft.rows import Definition, Document

Place = tuple[int, int, str]

WORDS = bytes(c if c > 127 or c == ord("_") or chr(c).isalnum() else ord(" ") for c in range(256))
BOUND = re.compile(r"(?<!\w)(\w++)\s*+(?:[;,}\"')=]|\bfrom\b|$)", re.MULTILINE)  # names that an import makes known


class Uses(NamedTuple):
    """The import lines whose names a definition uses, and the names of what it calls, sorted."""

    imports: tuple[str, ...]
    calls: tuple[str, ...]


def uses_of(document: Document) -> Mapping[Place, Uses]:
    """What each definition uses, by its place."""
    imports = document.metadata.get("imports", "").split("\n")
    known_by = [{word.encode() for word in BOUND.findall(line)} for line in imports]
    names = [d.name.rsplit(".", 1)[-1].encode() for d in document.definitions]
    own = set(names)
    words = _words_in(document, own.union(*known_by))
    found: dict[Place, Uses] = {}
    for definition, name, used in zip(document.definitions, names, words, strict=True):
        lines = tuple(i for i, known in zip(imports, known_by, strict=True) if known & used) if used else ()
        calls = tuple(sorted(word.decode() for word in (used & own) - {name}))
        found[place_of(definition)] = Uses(lines, calls)
    return found


def place_of(definition: Definition) -> Place:
    """What tells a definition from the others of its file."""
    return definition.start, definition.end, definition.name


def _words_in(document: Document, wanted: set[bytes]) -> Sequence[set[bytes]]:
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
        used |= wanted.intersection(" ".join(rest).encode("utf-8", "replace").translate(WORDS).split())
        uses[i], following[i] = used, inner
    return uses


def _head_start(definition: Definition) -> int:
    return max(definition.head_start, definition.start)
