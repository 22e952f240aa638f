"""The entries of a list of definitions: options, parameters, variables, functions, each below or behind its term.

A term is told by its shape: a code span, an option, a name in one piece, alone above a paragraph or at the head of a
list's item. Entries are cut apart where a section is too long to stay whole, so that each is asked for by its term.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ray_ft.words import num_words

MAX_TERM, MAX_TERM_WORDS, MAX_CALL = 120, 6, 40
MAX_TERMS, MAX_TERMS_LENGTH = 4, 110  # that a prompt names, and their characters
MIN_ENTRIES = 2  # of a section; one term by itself may be anything
MAX_SAME_OPTIONS = 0.8  # share of a section's options that differ, or they are several commands'
MIN_PLAIN = 4  # letters of a term that is a word in small letters and nothing else
_LABELS = """
    note notes tip tips warning warnings caution important example examples see default defaults returns return raises
    hint attention danger remark remarks todo fixme bug bugs yes no none and or but also rationale abstract function
    functions description type name column columns value values operator operators parameter parameters option options
    field table references purpose syntax usage summary synopsis discussion solution problem where
    avertissement exemple remarque beispiel hinweis warnung anmerkung ejemplo nota advertencia exemplo aviso örnek
"""
LABELS = frozenset(_LABELS.split())
"""What labels any text and names none."""
NAME = r"(?=[\w.:/*$-]*[^\W\d])[\w.:/*$-]{1,50}[\w*]"
TERM = (
    r"(?:``?[^`\n]{1,110}``?(?:\s?\([^()\n]{1,40}\)|[,/]?\s``?[^`\n]{1,40}``?){0,3}"  # `name` (`integer`)
    r"|\*\*[^*\n]{2,60}\*\*"
    r"|--?[A-Za-z?#][\w-]{0,40}(?:\[?[= ]?\[?(?:<[^<>\n]{1,40}>|[\w|.\[\]=…-]{1,40})\]?)?"  # --name[=<value>]
    r"(?:,\s--?[\w-]{1,40}(?:[= ]?<[\w-]{1,30}>)?)?"
    r"|<[\w |.-]{1,40}>(?:…|\.{3})?"
    rf"|{NAME}(?:\(\)|=\S{{1,20}})?)"
)
ITEM = re.compile(
    rf"([ \t]*)[-*+•][ \t]+({TERM})(?:(\*\*)?[ \t]*(?::|[ \t][–—-])(?:\*\*)?(?=\s|$)|(?=\s*$)|(?=\s))(.*)"
)
ALONE = re.compile(rf"([ \t]*)({TERM}):{{0,2}}[ \t]*")
FENCE = re.compile(r"[ \t]*(```|~~~)")
CALL = re.compile(r"([\w.:]{2,40})\([^()]*(?:\([^()]*\)[^()]*){0,4}\).{0,40}")
BULLET = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]|#\.)[ \t]")


@dataclass(frozen=True)
class Group:
    """A stretch of a section: entries in a row with their terms, or what stands before and behind all entries."""

    start: int
    end: int
    terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Start:
    at: int
    indent: int
    term: str
    is_item: bool


def groups(text: str, start: int, end: int, *, min_words: int) -> list[Group]:
    """A section cut at its terms; one group where it lists no definitions.

    Terms one below the other have one text, and so have neighbours with fewer than `min_words`, which say too little by
    themselves.
    """
    starts = _starts(text, start, end)
    if starts:
        outer = min(one.indent for one in starts)
        starts = [one for one in starts if one.indent == outer]
        starts = [one for one in starts if one.is_item == starts[0].is_item]  # others are lists within an entry
    if _has_options_of_several(starts):
        starts = [one for one in starts if not one.term.startswith("-")]
    if len(starts) < MIN_ENTRIES:
        return [Group(start, end)]
    found = [Group(start, starts[0].at)] if text[start : starts[0].at].strip() else []
    pending: list[Group] = []
    for one, following in zip(starts, [*(s.at for s in starts[1:]), end], strict=True):
        close = _end_of_entry(text, one, following)
        pending.append(Group(one.at, close, (one.term,)))
        if _words(text, pending) >= min_words:
            found.append(_joined(pending))
            pending = []
        if close < following:
            found += [_joined(pending)] if pending else []
            found.append(Group(close, following))
            pending = []
    return [*found, _joined(pending)] if pending else found


def named(terms: Sequence[str]) -> str:
    """Terms as a prompt lists them, in curly quotes; "" for more than anybody would name."""
    names = list(dict.fromkeys(terms))
    quoted = [f"“{name}”" for name in names]
    if not quoted or len(quoted) > MAX_TERMS or sum(map(len, quoted)) > MAX_TERMS_LENGTH:
        return ""
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def ends_with_term(text: str) -> bool:
    """Whether the last line of a text is a term whose entry is not in it."""
    above, _, last = text.rstrip().rpartition("\n")
    return (
        bool(above)
        and not above.endswith("```")
        and len(last) <= MAX_TERM
        and (
            (above.endswith("\n") and (found := ALONE.fullmatch(last)) is not None and bool(_term(found[2])))
            or ((item := ITEM.fullmatch(last)) is not None and not last[item.end(2) :].strip() and bool(_term(item[2])))
        )
    )


def finished(text: str) -> str:
    """A text without terms at its end, whose entries are not in it: the labels of what comes next."""
    while ends_with_term(text):
        text = text.rstrip().rpartition("\n")[0].rstrip()
    return text


def _has_options_of_several(starts: Sequence[_Start]) -> bool:
    """Whether options come again and again, as where the commands of a shell are described one after the other."""
    options = [one.term.split()[0] for one in starts if one.term.startswith("-")]
    return len(set(options)) < MAX_SAME_OPTIONS * len(options)


def _joined(run: Sequence[Group]) -> Group:
    return Group(run[0].start, run[-1].end, tuple(term for group in run for term in group.terms))


def _words(text: str, run: Sequence[Group]) -> int:
    """Words of the entries but for their terms."""
    return sum(num_words(text[g.start : g.end]) - num_words(g.terms[0]) for g in run)


def _starts(text: str, start: int, end: int) -> list[_Start]:
    lines = list(_lines(text, start, end))
    found: list[_Start] = []
    for i, (at, line) in enumerate(lines):
        above = lines[i - 1] if i else (-1, "")
        blank_before = above[0] < 0 or not above[1].strip() or (bool(found) and found[-1].at == above[0])
        if at < 0 or not line.strip():
            continue
        if item := ITEM.fullmatch(line):
            is_name = item[2][0] in "`-<*" or not line[item.end(2) :].strip() or line[item.end(2)] == ":"
            term = _term(item[2])
            if term and is_name:
                found.append(_Start(at, len(item[1].expandtabs(4)), term, True))
        elif blank_before and len(line) <= MAX_TERM and (alone := ALONE.fullmatch(line)):
            following = next((text_ for _, text_ in lines[i + 1 :] if text_.strip()), "")
            below = lines[i + 1][1] if i + 1 < len(lines) else "."
            is_above = not below.strip() or following.startswith((" ", "\t")) or ALONE.fullmatch(below) is not None
            term = _term(alone[2])
            if term and is_above and following:
                found.append(_Start(at, len(alone[1].expandtabs(4)), term, False))
    return found


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Lines of a stretch with their places; those of listings have the place -1."""
    position, fence = start, ""
    while position < end:
        close = text.find("\n", position, end)
        close = end if close < 0 else close
        line = text[position:close]
        mark = FENCE.match(line)
        if fence or mark:
            yield -1, line
            if mark and (not fence or fence == mark[1]):
                fence = "" if fence else mark[1]
        else:
            yield position, line
        position = close + 1


def _term(found: str) -> str:
    """A term without marks; "" for what labels any text, such as `Note`."""
    term = " ".join(found.replace("`", "").split()).removeprefix("**").removesuffix("**").rstrip(":")
    if len(term) > MAX_CALL and (call := CALL.fullmatch(term)):
        term = f"{call[1]}()"
    first = term.partition(" ")[0]
    is_label = term.lower().strip(".:") in LABELS or "@" in term or num_words(term) > MAX_TERM_WORDS
    is_short = len(found) < MIN_PLAIN and found.isalpha() and found.islower()
    return "" if is_label or is_short or not any(map(str.isalnum, first)) or term[0] in "/\\(" else term


def _end_of_entry(text: str, one: _Start, following: int) -> int:
    """Where the text of an entry ends: where its indentation does, and before the next item of its list."""
    lines = list(_lines(text, one.at, following))[1:]
    first = next((line for _, line in lines if line.strip()), "")
    is_flat = not one.is_item and not first[: one.indent + 1].isspace()
    is_below = one.is_item or not is_flat
    blank = False
    for at, line in lines:
        is_outside = at >= 0 and bool(line.strip()) and len(line) - len(line.lstrip()) <= one.indent
        if is_below and is_outside and (BULLET.match(line) is not None if one.is_item else blank):
            return at
        if one.is_item and is_outside and blank:
            return at
        blank = not line.strip()
    return following
