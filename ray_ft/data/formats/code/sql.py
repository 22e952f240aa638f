"""SQL of any dialect: tables, views, routines and their comments, by how statements begin and end.

No grammar reads what PL/pgSQL, T-SQL, MySQL and Oracle write in one file; where a statement ends is alike in all:
outside of quotes and of BEGIN ... END, at a semicolon, at the delimiter that the file sets, or at a line of its own.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import NamedTuple

from ray_ft.rows import Definition

NAME = r"""(?:[\w$#@]++|"[^"\n]{1,128}+"|`[^`\n]{1,128}+`|\[[^\]\n]{1,128}+\])"""
GAP = r"(?:\s|/\*[^*]{0,200}+\*/|--[^\n]{0,200}+\n)"
HEAD = re.compile(
    rf"(?:create|alter)\b(?:{GAP}++(?:or|replace|alter|temp|temporary|global|local|unlogged|external|materialized"
    rf"|recursive|force|editionable|noneditionable|foreign|aggregate|constraint|secure|definer{GAP}*+={GAP}*+{NAME}"
    rf"(?:@{NAME})?+|algorithm{GAP}*+=\w++|sql{GAP}++security{GAP}++\w++)(?=\s))*+{GAP}++"
    rf"(?P<kind>table|view|function|procedure|proc|trigger|type|package(?:{GAP}++body)?+)\b"
    rf"(?:{GAP}++if{GAP}++not{GAP}++exists\b)?+{GAP}++(?P<name>{NAME}(?:\s*+\.\s*+{NAME})*+)",
    re.IGNORECASE,
)
OF_PACKAGE = re.compile(rf"^[ \t]*+(?P<kind>function|procedure)\s++(?P<name>{NAME})", re.IGNORECASE | re.MULTILINE)
TOKEN = re.compile(
    r"""--[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)|'[^']*+'|"[^"]*+"|`[^`\n]{1,128}+`|\[[^\]\n]{1,128}+\]|\$\w*+\$|;|\(|\)"""
    r"|^[ \t]*+(?:go|/)[ \t\r]*+$|^[ \t]*+delimiter[ \t]++\S++|\b(?:create|alter|begin|end|case|as|is|return)\b",
    re.IGNORECASE | re.MULTILINE,
)
ESCAPED = re.compile(TOKEN.pattern.replace(r"'[^']*+'", r"'(?:[^'\\]|\\.)*+'"), TOKEN.flags)  # quotes of MySQL
NO_BLOCK = re.compile(r"\s++(?:tran|transaction|work|dialog|distributed)\b|\s*+;", re.IGNORECASE)
NO_END = re.compile(r"\s++(?:if|loop|while|repeat|for)\b", re.IGNORECASE)
COMMENT_ON = re.compile(
    rf"^[ \t]*+comment\s++on\s++(?:table|view|materialized\s++view|function|procedure|type|trigger)\s++"
    rf"(?P<name>{NAME}(?:\.{NAME})*+)[^;']{{0,500}}\bis\s++'(?P<words>[^']*+(?:''[^']*+)*+)'",
    re.IGNORECASE | re.MULTILINE,
)
COMMENT_OPTION = re.compile(r"\bcomment\s*+=?\s*+'(?P<words>[^']*+(?:''[^']*+)*+)'", re.IGNORECASE)
ALTERED = frozenset({"view", "function", "procedure", "proc", "trigger", "package"})
ROUTINES = frozenset({"function", "procedure", "trigger", "package", "package body"})
KINDS = {"proc": "procedure", "package body": "package"}
MARKS = re.compile(r"^[ \t]*+(?:--++|/\*++|\*++/?+)?+[ \t]?+|(?<![ \t*])[ \t]*+\*++/[ \t]*+$", re.MULTILINE)
NO_WORDS = re.compile(
    r"^(?:[^\w\n]*+|[ \t]*+(?:author|created?(?: date| on)?|modified|object)[ \t]*+:[^\n]*+)$", re.I | re.M
)
LINE_COMMENT = re.compile(r"--[^\n]*+")
MAX_UNCLOSED = 20  # dollar quotes without an end; with more, a file has none


class Statement(NamedTuple):
    """A definition's places: of its first word, of what follows its header, and of its end."""

    start: int
    body: int
    end: int
    kind: str
    name: str


def sql_definitions(text: str, *, first: int = 0) -> tuple[Definition, ...]:
    """What a file defines, in order; members of packages are named after them. No comment before `first` counts."""
    said = {_name(m["name"]).lower(): m["words"].replace("''", "'") for m in COMMENT_ON.finditer(text)}
    file = _File(text, first, said, [match.start() for match in re.finditer("\n", text)])
    found = []
    for one in _statements(text):
        found.append(file.definition(one))
        if one.kind == "package":
            found += [file.definition(inner, outer=one) for inner in _members(text, one)]
    return tuple(found)


def _statements(text: str) -> Iterator[Statement]:
    scan, place = _Scan(text), 0
    while (match := scan.token(place)) is not None:
        place = match.end()
        if match.group().lower() not in ("create", "alter") or (head := HEAD.match(text, match.start())) is None:
            continue
        kind = " ".join(head["kind"].lower().split())
        if match.group().lower() == "alter" and kind not in ALTERED:
            continue
        body, end = scan.ends(head.end(), is_routine=kind in ROUTINES, is_package=kind.startswith("package"))
        yield Statement(match.start(), body, end, KINDS.get(kind, kind), _name(head["name"]))
        place = end


def _members(text: str, package: Statement) -> Iterator[Statement]:
    """Routines of a package that have a body."""
    place, scan = package.body, _Scan(text, package.end)
    while (head := OF_PACKAGE.search(text, place, package.end)) is not None:
        body, end = scan.ends(head.end(), is_routine=True)
        if text[body : body + 2].lower() in ("is", "as"):
            start = head.start("kind")
            yield Statement(start, body, end, head["kind"].lower(), _name(head["name"]))
        place = max(end, head.end())


class _Scan:
    """Goes through a text from sign to sign, past quotes and comments."""

    def __init__(self, text: str, last: int | None = None) -> None:
        self.text, self.delimiter, self.num_unclosed = text, ";", 0
        self.last = len(text) if last is None else last
        self.pattern = ESCAPED if "`" in text else TOKEN

    def token(self, place: int) -> re.Match[str] | None:
        """The next sign that matters; a delimiter that is set counts from there on."""
        while (match := self.pattern.search(self.text, place, self.last)) is not None:
            words = match.group()
            if words[0] == "$":
                close = self.text.find(words, match.end()) if self.num_unclosed < MAX_UNCLOSED else -1
                self.num_unclosed += close < 0
                place = close + len(words) if close >= 0 else match.end()
                if close >= 0:
                    return match
                continue
            if words.lstrip()[:9].lower() == "delimiter":
                self.delimiter = words.split()[1]
            elif words[0] not in "'\"`[" and not words.startswith(("--", "/*")):
                return match
            place = match.end()
        return None

    def ends(self, place: int, *, is_routine: bool, is_package: bool = False) -> tuple[int, int]:
        """Where a statement's header ends, and where the statement does."""
        text, depth, brackets = self.text, 0, 0
        body, given, has_block, is_open = -1, -1, False, False
        own = self.delimiter
        own_end = text.find(own, place) if own != ";" else -1
        while (match := self.token(place)) is not None:
            words, start, place = match.group().lower(), match.start(), match.end()
            if 0 <= own_end < start:
                return body, own_end
            if words[0] == "$":
                body = start if body < 0 else body
                place = text.find(match.group(), place) + len(words)
                is_open = False
            elif words == "(" or words == ")":
                brackets += 1 if words == "(" else -1
                if body < 0 and not is_routine and words == "(":
                    body = start
            elif words == "as" or words == "is":
                if brackets <= 0 and body < 0:
                    body = start
                    is_open = is_routine and text[place : place + 200].lstrip()[:1] not in ("'", "$")
            elif words == "begin":
                if is_routine and not NO_BLOCK.match(text, place):
                    depth, has_block, body = depth + 1, True, start if body < 0 else body
            elif words == "case":
                depth += 1 if is_routine and depth else 0
            elif words == "end":
                if is_routine and not NO_END.match(text, place):
                    depth -= 1
            elif words == "return":
                given = start if brackets <= 0 else given
            elif words == ";" and own == ";":
                is_done = depth < 0 if is_package else depth <= 0 and (has_block or not is_open)
                if not is_routine or is_done:
                    return max(body, given) if body < 0 else body, place
            elif words.strip() in ("go", "/") or (
                words == "create" and is_routine and depth <= 0 and text[start - 1 : start] in ("", "\n")
            ):
                return body, self._last_word(start)
        return body, own_end if own_end >= 0 else self._last_word(self.last)

    def _last_word(self, place: int) -> int:
        """The end of what stands before a place."""
        while place and self.text[place - 1].isspace():
            place -= 1
        return place


class _File(NamedTuple):
    """A text, what its statements COMMENT ON say of names, and where its lines end."""

    text: str
    first: int
    said: Mapping[str, str]
    newlines: Sequence[int]

    def definition(self, one: Statement, outer: Statement | None = None) -> Definition:
        """The row, with the comment above, what COMMENT ON says of it, and its own option COMMENT."""
        text = self.text
        line = text.rfind("\n", 0, one.start) + 1
        above = max(_comment_start(text, line), min(self.first, line)) if not text[line : one.start].strip() else line
        more = self.said.get(one.name.lower(), "") or _option(text, one)
        body = one.body if one.body >= 0 else one.end
        start = above if above < line else one.start
        return Definition(
            name=f"{outer.name}.{one.name}" if outer else one.name,
            kind=one.kind,
            start=start,
            end=one.end,
            body_start=min(max(one.body, one.start), one.end),
            line_start=bisect_left(self.newlines, start) + 1,
            line_end=bisect_left(self.newlines, one.end) + 1,
            signature=" ".join(LINE_COMMENT.sub("", text[one.start : body]).split()).rstrip("; "),
            docstring="\n\n".join(filter(None, (_words(text[above:line]), more))),
            enclosing=f"package {outer.name}" if outer else "",
            head_start=one.start,
        )


def _option(text: str, one: Statement) -> str:
    """What a table's or routine's own COMMENT says; a column's stands in brackets."""
    if one.kind not in ("table", "procedure", "function"):
        return ""
    start = text.rfind(")", one.start, one.end) if one.kind == "table" else one.start
    option = COMMENT_OPTION.search(text, max(start, one.start), one.end)
    return option["words"].replace("''", "'") if option is not None else ""


def _comment_start(text: str, line: int) -> int:
    """Where the comment that ends right above a line begins; the line itself where there is none."""
    start, is_block = line, False
    while start > 0:
        above = text.rfind("\n", 0, start - 1) + 1
        words = text[above : start - 1].strip()
        if is_block or words.endswith("*/"):
            is_block = not words.startswith("/*")
        elif not words.startswith("--"):
            break
        start = above
    return line if is_block else start


def _words(comment: str) -> str:
    return cleandoc(NO_WORDS.sub("", MARKS.sub("", comment))).strip() if comment.strip() else ""


def _name(words: str) -> str:
    """A name without its quotes and the space in it."""
    return ".".join(part.strip().strip('"`[]') for part in words.split("."))
