"""What a paragraph of a Word document is by its style: a heading, an item of a list with its mark, or a listing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
VAL = f"{W}val"
BODY_LEVEL = 9  # an outline level that says: no heading
MAX_BASES = 20  # styles that one may be based on
CODE_WORDS = ("code", "preformatted", "listing", "macro text")
CONTENTS = ("toc", "table of figures", "table of authorities", "index")  # beginnings of styles' names
ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """What a style says, with what it is based on; `level` is a heading's, 0 for none."""

    name: str = ""
    level: int = 0
    number: str = ""  # the list that it is in
    depth: int = 0  # in it
    indent: int = 0  # levels that it is deeper than others, in a list of its own
    is_code: bool = False
    is_contents: bool = False


@dataclass(frozen=True)
class Level:
    """How one level of a list is counted: `text` holds `%1` for the number of the first level."""

    format: str = "bullet"
    text: str = ""
    start: int = 1


@dataclass
class Numbering:
    """Lists of a document, and how far each has been counted."""

    kinds: dict[str, str] = field(default_factory=dict)  # list -> how it is counted
    levels: dict[tuple[str, int], Level] = field(default_factory=dict)
    starts: dict[tuple[str, int], int] = field(default_factory=dict)  # of lists that begin anew
    counts: dict[str, list[int]] = field(default_factory=dict)

    def mark(self, number: str, depth: int) -> str:
        """The mark of the next item."""
        kind = self.kinds.get(number, number)
        level = self.levels.get((kind, depth))
        if level is None or level.format in ("bullet", "none") or "%" not in level.text:
            return "-"
        counts = self.counts.setdefault(kind, [])
        if (start := self.starts.pop((number, depth), None)) is not None:
            del counts[depth:]
        while len(counts) < depth:
            counts.append(self.levels.get((kind, len(counts)), level).start)
        if len(counts) == depth:
            counts.append(level.start if start is None else start)
        else:
            counts[depth] += 1
            del counts[depth + 1 :]
        mark = level.text
        for i, count in enumerate(counts):
            mark = mark.replace(f"%{i + 1}", _shown(count, self.levels.get((kind, i), level).format))
        return mark.strip() or "-"


def styles_of(root: Any) -> dict[str, Style]:
    """Styles of paragraphs by their id, and the one that a paragraph without any has as ""."""
    nodes = {
        node.get(f"{W}styleId", ""): node for node in root.iter(f"{W}style") if node.get(f"{W}type") == "paragraph"
    }
    found = {name: _style(node, nodes) for name, node in nodes.items()}
    usual = next((n for n, node in nodes.items() if node.get(f"{W}default") in ("1", "true", "on")), "")
    return found | {"": found.get(usual, Style())}


def numbering_of(root: Any) -> Numbering:
    """Lists of the part that defines them."""
    made = Numbering()
    for abstract in root.iterchildren(f"{W}abstractNum"):
        kind = f"kind {abstract.get(f'{W}abstractNumId')}"
        for node in abstract.iterchildren(f"{W}lvl"):
            made.levels[kind, whole(node.get(f"{W}ilvl"))] = _level(node)
    for node in root.iterchildren(f"{W}num"):
        number = node.get(f"{W}numId", "")
        made.kinds[number] = f"kind {value(node, 'abstractNumId')}"
        for override in node.iterchildren(f"{W}lvlOverride"):
            if (start := value(override, "startOverride")) is not None:
                made.starts[number, whole(override.get(f"{W}ilvl"))] = whole(start, 1)
    return made


def value(node: Any, name: str) -> str | None:
    """The value of a child by its name; None where it has none."""
    child = node.find(f"{W}{name}") if node is not None else None
    given: str | None = child.get(VAL) if child is not None else None
    return given


def whole(text: str | None, otherwise: int = 0) -> int:
    """A number, as damaged files too may give it."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 else otherwise


def outline_level(properties: Any) -> int | None:
    """The heading's level that properties of a paragraph give, 0 for text; None where they say nothing."""
    given = value(properties, "outlineLvl")
    if given is None:
        return None
    level = whole(given, BODY_LEVEL)
    return level + 1 if level < BODY_LEVEL else 0


def _style(node: Any, nodes: dict[str, Any]) -> Style:
    chain = list(_bases(node, nodes))
    names = [(value(one, "name") or "").lower() for one in chain]
    level = next((n for one, name in zip(chain, names, strict=True) if (n := _heading(one, name)) is not None), 0)
    lists = [p for one in chain if (p := one.find(f"{W}pPr/{W}numPr")) is not None]
    number = next((given for one in lists if (given := value(one, "numId")) is not None), "")
    depth = next((whole(given) for one in lists if (given := value(one, "ilvl")) is not None), 0)
    last = names[0].rpartition(" ")[2]
    indent = whole(last, 1) - 1 if names[0].startswith("list ") and not depth and last.isdecimal() else 0
    return Style(
        names[0],
        min(level, 6),
        "" if number == "0" else number,
        depth,
        indent,
        is_code=any(word in name for name in names for word in CODE_WORDS),
        is_contents=names[0].startswith(CONTENTS),
    )


def _bases(node: Any, nodes: dict[str, Any]) -> Iterator[Any]:
    for _ in range(MAX_BASES):
        yield node
        node = nodes.get(value(node, "basedOn") or "")
        if node is None:
            return


def _heading(node: Any, name: str) -> int | None:
    """`Title` stands above `Heading 1`, yet documents rarely have both as a hierarchy: both are at the top."""
    given = outline_level(node.find(f"{W}pPr"))
    if given is not None:
        return given
    if name == "title":
        return 1
    number = name.removeprefix("heading ")
    return int(number) if number != name and number.isdecimal() and 0 < int(number) <= BODY_LEVEL else None


def _level(node: Any) -> Level:
    return Level(value(node, "numFmt") or "decimal", value(node, "lvlText") or "", whole(value(node, "start"), 1))


def _shown(count: int, form: str) -> str:
    if form in ("lowerLetter", "upperLetter") and count > 0:
        letter = chr(ord("a") + (count - 1) % 26) * min((count - 1) // 26 + 1, 9)
        return letter.upper() if form == "upperLetter" else letter
    if form in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        shown = ""
        for number, sign in ROMAN:
            shown += sign * (count // number)
            count %= number
        return shown.upper() if form == "upperRoman" else shown
    return f"{count:02d}" if form == "decimalZero" else str(count)
