"""Headings of plain text: underlined or framed titles, and lines by themselves with a number, a mark or capitals.

No sign makes a heading by itself. A line has to stand alone and be short, and its kind has to behave as headings do in
the whole document: with something to read below it. How deep a kind is, is seen from where it comes first.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ray_ft.data.formats.base import Lines
from ray_ft.rows import Block
from ray_ft.words import num_words

UNDERLINE = re.compile(r"([=\-~^\"'`#*+_:.<>])\1{2,}[ \t]*")
RULES = frozenset("=-~^\"'`#*+_:.<>")
NUMBER = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,5})[.)]?[ \t]+(?=\S)")
NAMED = re.compile(
    r"(?:chapter|part|article|section|appendix|annex|kapitel|teil|anhang|chapitre|annexe|cap[ií]tulo|capitolo)"
    r"[ \t]+(?:\d{1,3}|[ivxlc]{1,6}|[a-z])(?:[.:\t -].{0,80})?|第[\d一二三四五六七八九十百]{1,4}[章节節部篇条].{0,60}",
    re.IGNORECASE,
)
CONDITIONS = ("If ", "When ", "Unless ", "While ", "Otherwise")  # of steps, whose sentences go on below
PATH = re.compile(r"/\w")
MARKED = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.{0,118}?)(?:[ \t]+\1)?")
FRAMED = re.compile(r"([=*#~+-])\1{2,}[ \t]+(\S.{0,98}?)[ \t]+\1{3,}")
MAX_TITLE, MAX_WORDS = 120, 14
MAX_CAPITALS, MAX_CAPITAL_WORDS = 70, 10
MIN_COVERED = 0.6  # of a title by its underline
MIN_WITH_BODY = 0.6  # of the lines of one kind: what follows one another without anything between is a list
COLUMNS = re.compile(r"\S(?:\t+| {3,}|[ \t]*\|[ \t]*)\S")
SENTENCE_SIGNS = (".", ",", ";", ":", "!", "…", "。", "，", "；", "、")


@dataclass(frozen=True)
class Candidate:
    """A line that may be a heading; lines first <= i < last are its own. `kind` is what its likes share."""

    title: str
    kind: str
    first: int
    last: int
    depth: int = 1  # as its number says
    also: str = ""  # the kind that its underline alone would be


def find_headings(lines: Lines, spans: Sequence[tuple[int, int]]) -> list[Block]:
    """The headings in order, with their depth in the document; `spans` are the runs of lines that are not blank."""
    found = _candidates(lines.lines, spans)
    if not found:
        return []
    kept = _confirmed(found, lines)
    blocks = [
        lines.heading(c.title, c.first, c.last, level=level) for c, level in zip(kept, _levels(kept), strict=True)
    ]
    return [block for block in blocks if block is not None]


def _candidates(rows: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[Candidate]:
    """What the runs of lines begin with that may be a heading."""
    found: list[Candidate] = []
    for first, last in spans:
        second = rows[first + 1][0] if last - first > 1 else "="
        if second not in RULES and not second.isspace() and rows[first][0] not in RULES:
            continue  # a paragraph
        one = _underlined(rows, first) or _alone(rows, first)
        found += [one] if one is not None else []
    return found


def _underlined(rows: Sequence[str], i: int) -> Candidate | None:
    """A title above a rule, or between two of one sign."""
    over = UNDERLINE.fullmatch(rows[i])
    place = i + 1 if over else i
    if place + 1 >= len(rows) or rows[place + 1][:1].isalnum():
        return None
    under = UNDERLINE.fullmatch(rows[place + 1])
    title = rows[place].strip()
    if under is None or not _is_title(title) or (over and over.group(1) != under.group(1)):
        return None
    if len(under.group().rstrip()) < MIN_COVERED * len(title) or (not over and rows[place][0].isspace()):
        return None
    kind = f"{under.group(1)}{'over' if over else ''}"
    number = NUMBER.match(title)
    if number is not None:
        return Candidate(title, "number", i, place + 2, number.group(1).count(".") + 1, also=kind)
    return Candidate(title, kind, i, place + 2)


def _alone(rows: Sequence[str], i: int) -> Candidate | None:
    """A line with blank lines around it, or a capital line above what is indented, as manual pages have it."""
    line = rows[i]
    following = rows[i + 1] if i + 1 < len(rows) else ""
    is_alone = not following or following.isspace()
    if len(line) > MAX_TITLE or (line[0].isspace() and not is_alone) or line[0] == "\t" or line.startswith("    "):
        return None
    title = line.strip()
    if not is_alone:
        is_above = following[0].isspace() and _is_capital(title) and _is_title(title)
        return Candidate(title, "capitals", i, i + 1) if is_above else None
    if (marked := MARKED.fullmatch(title)) and _is_title(marked.group(2)):
        return Candidate(marked.group(2), f"mark{title[0]}", i, i + 1, len(marked.group(1)))
    if (framed := FRAMED.fullmatch(title)) and _is_title(framed.group(2)):
        return Candidate(framed.group(2), f"frame{title[0]}", i, i + 1)
    if not _is_title(title):
        return None
    number = NUMBER.match(title)
    if number is not None:
        rest = title[number.end() :]
        is_sentence = rest.endswith(SENTENCE_SIGNS) and (rest[-1] != "." or num_words(rest) > 4)  # laws end with one
        is_sentence = is_sentence or (rest.startswith(CONDITIONS) and num_words(rest) > 4)
        is_path = PATH.match(rest) is not None
        is_named = not rest[0].islower() and not is_sentence and (is_path or rest[0] not in "-+*/=<>|%")
        return Candidate(title, "number", i, i + 1, number.group(1).count(".") + 1) if is_named else None
    if NAMED.fullmatch(title):
        return Candidate(title, f"named{title[: 1 if title[0] == '第' else 4].lower()}", i, i + 1)
    return Candidate(title, "capitals", i, i + 1) if _is_capital(title) else None


def _is_title(title: str) -> bool:
    """Short words in one column, and no sentence."""
    size = num_words(title)
    is_sentence = title.endswith(SENTENCE_SIGNS) and size > 4
    is_short = 0 < len(title) <= MAX_TITLE and size <= MAX_WORDS
    return is_short and not is_sentence and any(map(str.isalpha, title)) and not COLUMNS.search(title)


def _is_capital(title: str) -> bool:
    letters = sum(map(str.isalpha, title))
    return (
        title.isupper()
        and letters >= 3
        and 2 * letters > len(title)
        and len(title) <= MAX_CAPITALS
        and len(title.split()) <= MAX_CAPITAL_WORDS
        and not title.endswith((*SENTENCE_SIGNS, "?"))
    )


def _confirmed(found: Sequence[Candidate], lines: Lines) -> list[Candidate]:
    """Those whose kind has text below it in most places; marks and capitals have to come more than once, or first."""
    has_body: dict[tuple[str, int], list[bool]] = defaultdict(list)
    times: Counter[str] = Counter(one.kind for one in found)
    top = next(i for i, line in enumerate(lines.lines) if line.strip())
    deepest = max((one.depth for one in found if one.kind == "number"), default=0)
    for one, following in zip(found, [*found[1:], None], strict=True):
        end = following.first if following is not None else len(lines)
        is_parent = following is not None and (following.kind != one.kind or following.depth > one.depth)
        has_body[one.kind, one.depth].append(is_parent or any(lines.lines[i].strip() for i in range(one.last, end)))
    kept = []
    for one in found:
        flags = has_body[one.kind, one.depth]
        is_sure = one.kind[0] not in "nmcf" or bool(one.also)  # underlined
        is_usual = times[one.kind] > 1 or one.first == top or (one.kind == "number" and deepest > 1)
        if one.kind.startswith("mark#"):  # a comment looks like it
            is_usual = times[one.kind] > 1 and any(o.kind == one.kind and o.depth > 1 for o in found)
        if (is_sure or is_usual) and sum(flags) >= MIN_WITH_BODY * len(flags):
            kept.append(one)
    return kept


def _levels(kept: Sequence[Candidate]) -> list[int]:
    """The depth of each: a kind that comes for the first time is one deeper than the heading before it.

    Numbers and marks say their depth themselves, from where the first of them stands. Where capitals are the look of
    numbered titles too, both are one kind.
    """
    numbered = [one for one in kept if one.kind == "number"]
    is_one_look = bool(numbered) and all(map(str.isupper, (o.title for o in numbered if o.depth == 1)))
    num_capitals = sum(one.kind == "capitals" for one in kept)
    base: dict[str, int] = {}
    levels: list[int] = []
    for place, one in enumerate(kept):
        kind = "number" if one.kind == "capitals" and is_one_look and (num_capitals > 1 or place) else one.kind
        if kind not in base:
            above = levels[-1] if levels else 0
            base[kind] = base.get(one.also, above + 1) - (one.depth - 1 if kind[0] in "nm" else 0)
        level = base[kind] + (one.depth - 1 if kind[0] in "nm" and one.kind == kind else 0)
        if one.also:
            base.setdefault(one.also, level)
        levels.append(min(6, max(1, level)))
    return levels
