"""Org, line by line: headings, blocks, lists and tables as light Markdown; drawers and keywords are left out."""

import re
from collections.abc import Callable, Iterator

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed

HEADING = re.compile(r"(\*+)[ \t]++(\S.*)$")
STATE = re.compile(r"(?:TODO|DONE|NEXT|WAITING|HOLD|CANCELED|CANCELLED|STARTED|INPROGRESS)[ \t]++(?=\S)")
PRIORITY = re.compile(r"\[#\w\][ \t]*+")
TAGS = re.compile(r"[ \t]:[\w@#%:]+:\s*$")
COOKIE = re.compile(r"(?<![ \t])[ \t]*+\[\d*+(?:/\d*+|%)\]")
KEYWORD = re.compile(r"[ \t]*+#\+(\w++)(?:\[[^\]]*+\])?:[ \t]*+(.*)$")
BEGIN = re.compile(r"[ \t]*+#\+begin_(\w++)(?:[ \t]++([\w+-]++))?", re.IGNORECASE)
DRAWER = re.compile(r"[ \t]*+:[\w-]++:[ \t]*+$")
PLANNING = re.compile(r"[ \t]*+(?:CLOSED|SCHEDULED|DEADLINE|CLOCK):[ \t]*+[\[<]")
COMMENT = re.compile(r"(?<![ \t])[ \t]*+#(?:[ \t]|$)")
FIXED = re.compile(r"[ \t]*+:(?:[ \t](.*))?$")
ITEM = re.compile(r"([ \t]*+)(?:[-+]|\d{1,3}[.)]|[a-z][.)]|(?<=[ \t])\*)[ \t]++(\S.*)$")
CHECKBOX = re.compile(r"\[[ xX-]\][ \t]++")
RULE = re.compile(r"[ \t]*+-{5,}[ \t]*+$")
TABLE_RULE = re.compile(r"[ \t]*+\|[-+]++\|?[ \t]*+$")
FOOTNOTE = re.compile(r"\[fn:[\w-]*+(?::([^\[\]]++))?\]")
LINK = re.compile(r"\[\[([^\[\]]++)\](?:\[([^\[\]]++)\])?\]")
PICTURE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp)$", re.IGNORECASE)
TARGET = re.compile(r"<<<?[^<>]++>>>?")
TIMESTAMP = re.compile(r"[<\[](\d{4}-\d\d-\d\d)(?: [^>\]\n]*+)?[>\]]")
QUOTED_CODE = re.compile(r"(?<![\w=~])([=~])(?=\S)([^=~\n]++)(?<=\S)\1(?![\w=~])")
EMPHASIS = re.compile(r"(?<![\w*/_+])([*/_+])(?=\S)([^*/_+\n]++)(?<=\S)\1(?![\w*/_+])")
HIDDEN = frozenset({"comment", "export"})
CODE = frozenset({"src", "example"})
SHOWN_KEYWORDS = frozenset({"caption"})


def parse_org(text: str) -> Parsed:
    """Blocks in the order of the file, below `#+TITLE`; subtrees that are marked COMMENT are left out."""
    lines = text.split("\n")
    keywords = (match for line in lines if (match := KEYWORD.match(line)) is not None)
    title = next((match.group(2).strip() for match in keywords if match.group(1).lower() == "title"), "")
    pieces = list(_pieces(lines))
    if title:
        pieces = [Piece("heading", _shown(title), 1), *(_below(piece) for piece in pieces)]
    whole, blocks = assemble(pieces)
    return Parsed(whole, blocks, {"title": _shown(title)} if title else {})


def _below(piece: Piece) -> Piece:
    """The same, a level deeper: a title is what the file's top headings stand under."""
    return Piece(piece.type, piece.text, min(6, piece.level + 1)) if piece.type == "heading" else piece


def _pieces(lines: list[str]) -> Iterator[Piece]:
    i, hidden = 0, 0  # level of the subtree that is left out, 0 for none
    while i < len(lines):
        line = lines[i]
        heading = HEADING.match(line)
        if heading is not None:
            i += 1
            level, words = len(heading.group(1)), COOKIE.sub("", TAGS.sub("", heading.group(2)))
            if hidden and level > hidden:
                continue
            words = PRIORITY.sub("", STATE.sub("", words, count=1), count=1)
            hidden = level if words.startswith("COMMENT") or ":noexport:" in line else 0
            if not hidden and words.strip():
                yield Piece("heading", _shown(words), min(6, level))
        elif hidden or not line.strip():
            i += 1
        elif (begin := BEGIN.match(line)) is not None:
            kind = begin.group(1).lower()
            close = f"#+end_{kind}"
            end = next((j for j in range(i + 1, len(lines)) if lines[j].strip().lower() == close), len(lines))
            body = lines[i + 1 : end]
            if kind in CODE:
                code = "\n".join(row.removeprefix(",") if row[:2] in (",*", ",#") else row for row in body)
                yield Piece(
                    "code", f"```{begin.group(2) or '' if kind == 'src' else ''}\n" + code.strip("\n") + "\n```"
                )
            elif kind not in HIDDEN:
                yield from _pieces([row for row in body if not BEGIN.match(row)])
            i = end + 1
        elif DRAWER.match(line):
            end = next((j for j in range(i + 1, len(lines)) if lines[j].strip().upper() == ":END:"), -1)
            i = end + 1 if end >= 0 else i + 1
        elif (keyword := KEYWORD.match(line)) is not None:
            if keyword.group(1).lower() in SHOWN_KEYWORDS:
                yield Piece("paragraph", _shown(keyword.group(2)))
            i += 1
        elif PLANNING.match(line) or COMMENT.match(line) or RULE.match(line):
            i += 1
        else:
            i, piece = _block(lines, i)
            yield piece


def _block(lines: list[str], first: int) -> tuple[int, Piece]:
    """The block that begins in a line, and the line after it."""
    line = lines[first]
    if line.lstrip().startswith("|"):
        end = _while(lines, first, lambda row: row.lstrip().startswith("|"))
        rows = [row.strip().strip("|").split("|") for row in lines[first:end] if not TABLE_RULE.match(row)]
        return end, Piece("table", "\n".join(" | ".join(_shown(cell) for cell in row).rstrip(" |") for row in rows))
    if FIXED.match(line):
        end = _while(lines, first, lambda row: FIXED.match(row) is not None)
        code = "\n".join((m.group(1) or "") if (m := FIXED.match(row)) else "" for row in lines[first:end])
        return end, Piece("code", f"```\n{code}\n```")
    if ITEM.match(line):
        return _list(lines, first)
    end = _while(lines, first, lambda row: not _begins(row), at_least=1)
    return end, Piece("paragraph", _shown(" ".join(row.strip() for row in lines[first:end])))


def _list(lines: list[str], first: int) -> tuple[int, Piece]:
    """Items by their indentation; lines that are indented belong to the item above, after one blank line too."""
    items: list[str] = []
    i = first
    while i < len(lines):
        line = lines[i]
        item = ITEM.match(line)
        if item is not None:
            words = re.sub(r"(?<![ \t])[ \t]++::(?=[ \t]|$)", ":", CHECKBOX.sub("", item.group(2)))
            items.append("  " * (len(item.group(1).expandtabs()) // 2) + "- " + words)
        elif not line.strip():
            following = lines[i + 1] if i + 1 < len(lines) else ""
            if not (ITEM.match(following) or (following[:1].isspace() and following.strip())):
                break
        elif line[:1].isspace() and not BEGIN.match(line) and not DRAWER.match(line):
            items[-1] += f" {line.strip()}"
        else:
            break
        i += 1
    return i, Piece("list", "\n".join(_shown(item, strip=False) for item in items))


def _begins(row: str) -> bool:
    """Whether a line ends the paragraph before it."""
    return (
        not row.strip()
        or row.lstrip().startswith("|")
        or any(p.match(row) for p in (HEADING, BEGIN, KEYWORD, DRAWER, ITEM, COMMENT, FIXED, PLANNING))
    )


def _while(lines: list[str], first: int, holds: Callable[[str], bool], at_least: int = 0) -> int:
    end = first + at_least
    while end < len(lines) and holds(lines[end]):
        end += 1
    return end


def _shown(words: str, *, strip: bool = True) -> str:
    """What a reader sees of a line's markup; code keeps its backticks."""
    words = LINK.sub(_link, FOOTNOTE.sub(lambda m: f" ({m.group(1)})" if m.group(1) else "", words))
    words = TIMESTAMP.sub(r"\1", TARGET.sub("", words))
    parts = re.split(r"(`[^`\n]++`)", QUOTED_CODE.sub(r"`\2`", words))
    words = "".join(part if n % 2 else EMPHASIS.sub(r"\2", part) for n, part in enumerate(parts))
    return words.strip() if strip else words.rstrip()


def _link(match: re.Match[str]) -> str:
    target, words = match.groups()
    if words:
        return words
    return "" if PICTURE.search(target) else target.removeprefix("file:").removeprefix("*").removeprefix("#")
