"""AsciiDoc, line by line: sections, delimited blocks, lists and tables as light Markdown."""

import re
from collections.abc import Generator, Iterator
from textwrap import dedent

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.lightweight.asciidoc_inline import INTRINSIC, shown

HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]++(\S.*)$")
UNDERLINES = {"=": 1, "-": 2, "~": 3, "^": 4, "+": 5}
ENTRY = re.compile(r":(!?[\w][\w-]*+)!?:(?:[ \t]++(.*))?$")
ATTRIBUTES = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*+\])*+\]\s*$")
STYLE = re.compile(r"\[[\"']?([\w-]*+)[^,\]]*+(?:,[\s\"']*+([\w+#-]*+))?")
TITLE = re.compile(r"\.(?![\s.])(.+)$")
FENCE = re.compile(r"(-{4,}+|\.{4,}+|={4,}+|\*{4,}+|_{4,}+|\+{4,}+|/{4,}+|--(?!-)|`{3,}+)([\w+-]*+)\s*+$")
TABLE_FENCE = re.compile(r"[|,:!]={3,}\s*$")
CODE_FENCES, HOLDING_FENCES = ("-", ".", "`"), ("=", "*", "_")
HIDDEN_STYLES = frozenset({"comment", "pass", "index"})
CODE_STYLES = frozenset({"source", "listing", "literal", "verse"})
DIRECTIVE = re.compile(r"(?:include|ifdef|ifndef|ifeval|endif|image|video|audio|toc)::\S*?\[[^\]]*\]\s*$")
BREAK = re.compile(r"(?:'{3,}|<{3,}|-{3}|\*{3})\s*$")
ITEM = re.compile(r"\s*+(\*{1,6}|-|\.{1,6}|\d{1,3}\.|<(?:\d{1,3}|\.)>)[ \t]++(\S.*)$")
TERM = re.compile(r"\s*+(\S(?:[^:;]|:(?!:)|;(?!;))*+)(?:::{1,3}|;;)(?:[ \t]++(.*))?$")
CELL = re.compile(r"(?:^|(?<![ \t])[ \t]++|(?<=\|))(?:\d*+(?:\.\d++)?[+*])?[<^>]?(?:\.[<^>])?[aehlmdsv]?\|(?!=)")
CHECKBOX = re.compile(r"\[[ xX*]\][ \t]++")
CALLOUT = re.compile(r"(?<![ \t])[ \t]*+(?:(?://|#|;;)[ \t]*+)?<(?:\d{1,3}|\.)>\s*+$")
MAX_DEPTH = 8  # of blocks in blocks


def parse_asciidoc(text: str) -> Parsed:
    """Blocks in the order of the page; comments, attribute entries, includes and raw passages are left out."""
    reader = _Reader(text.split("\n"))
    whole, blocks = assemble(reader.pieces(0, len(reader.lines)))
    return Parsed(whole, blocks, {"title": reader.title} if reader.title else {})


class _Reader:
    """The lines, the attributes that the document has set so far, and its title."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.attributes = dict(INTRINSIC)
        self.title = ""
        for line in lines[: next((i for i, line in enumerate(lines) if i and not line.strip()), len(lines))]:
            if (entry := ENTRY.match(line.rstrip())) is not None:  # the title may speak of what stands below it
                self.attributes[entry.group(1).lower()] = (entry.group(2) or "").strip()

    def pieces(self, first: int, last: int, depth: int = 0) -> Iterator[Piece]:
        """Blocks of lines first <= i < last."""
        i = first
        style, language = "", ""
        while i < last:
            line = self.lines[i].rstrip()
            if not line.strip():
                i += 1
                style = language = ""
                continue
            if (end := self._skipped(i, last)) > i:
                if (found := STYLE.match(line)) and line.startswith("[") and not line.startswith("[["):
                    style, language = found.group(1).lower(), found.group(2) or ""
                i = end
                continue
            fence = FENCE.match(line)
            if fence is not None and not (fence.group(1) == "--" and depth >= MAX_DEPTH):
                i = yield from self._fenced(i, last, fence, style, language or fence.group(2), depth)
            elif TABLE_FENCE.match(line):
                i = yield from self._table(i, last, style)
            elif (heading := self._heading(i, last)) is not None:
                level, title, i = heading
                yield Piece("heading", title, level)
            elif style in CODE_STYLES or (line[:1].isspace() and not ITEM.match(line)):
                i, rows = self._paragraph(i, last)
                yield Piece("code", f"```{language}\n" + "\n".join(_dedented(rows)) + "\n```")
            elif style in HIDDEN_STYLES:
                i, _ = self._paragraph(i, last)
            elif ITEM.match(line) or TERM.match(line):
                i = yield from self._list(i, last, depth)
            elif (title_of := TITLE.match(line)) is not None:
                yield Piece("paragraph", self._shown(title_of.group(1)))
                i += 1
                continue  # the style goes on to the block below
            else:
                i, rows = self._paragraph(i, last)
                words = self._shown(" ".join(row.strip().removesuffix(" +") for row in rows))
                label = f"{style.upper()}: " if style in ("note", "tip", "important", "warning", "caution") else ""
                yield Piece("paragraph", label + words)
            style = language = ""

    def _skipped(self, i: int, last: int) -> int:
        """The line after one that a reader does not see: comments, entries, block attributes, directives, breaks."""
        line = self.lines[i].rstrip()
        if line.startswith("//") and not line.startswith("////"):
            return i + 1
        entry = ENTRY.match(line)
        if entry is not None:
            name, value = entry.group(1), (entry.group(2) or "").strip()
            i += 1
            while value.endswith((" \\", " +")) and i < last:
                value = f"{value[:-2]} {self.lines[i].strip()}"
                i += 1
            self.attributes[name.lower()] = value
            return i
        if ATTRIBUTES.match(line) or DIRECTIVE.match(line) or BREAK.match(line):
            return i + 1
        return i

    def _heading(self, i: int, last: int) -> tuple[int, str, int] | None:
        """(level, title, line after it) of `== Title`, or of a title with a line of equal length below."""
        line = self.lines[i].rstrip()
        match = HEADING.match(line)
        level = len(match.group(1)) if match is not None else 0
        title = _without_marks(match.group(2)) if match is not None else line.strip()
        end = i + 1
        if match is None:
            below = self.lines[end].rstrip() if end < last else ""
            if line[:1].isspace() or not re.search(r"\w", line) or len(set(below)) != 1 or below[0] not in UNDERLINES:
                return None
            if len(below) < 3 or abs(len(below) - len(line)) > 2:
                return None
            level, end = UNDERLINES[below[0]], end + 1
        title = self._shown(title)
        if level == 1 and not self.title and title:
            self.title = title
            while end < last and self.lines[end].strip() and not ENTRY.match(self.lines[end]) and end < i + 4:
                if not re.search(r"@|^v?\d|^\S+(?: \S+){1,3}$|//", self.lines[end]):
                    break  # no author or revision
                end += 1
        return level, title, end

    def _fenced(
        self, i: int, last: int, fence: re.Match[str], style: str, language: str, depth: int
    ) -> Generator[Piece, None, int]:
        """A delimited block; returns the line after it. What is never closed ends with the document."""
        mark = fence.group(1)
        end = next((j for j in range(i + 1, last) if self.lines[j].rstrip() == mark), last)
        kind = mark[0] if mark != "--" else "--"
        if kind in ("/", "+") or style in HIDDEN_STYLES:
            return min(end + 1, last)
        if kind in CODE_FENCES or (kind == "--" and style in CODE_STYLES):
            code = "\n".join(CALLOUT.sub("", row) for row in self.lines[i + 1 : end]).strip("\n")
            yield Piece("code", f"```{language if style in ('', 'source') else ''}\n{code}\n```")
        elif depth < MAX_DEPTH:
            label = style.upper() if style in ("note", "tip", "important", "warning", "caution") else ""
            for n, piece in enumerate(self.pieces(i + 1, end, depth + 1)):
                is_first = n == 0 and label and piece.type == "paragraph"
                yield Piece(piece.type, f"{label}: {piece.text}", piece.level) if is_first else piece
        return min(end + 1, last)

    def _table(self, i: int, last: int, style: str) -> Generator[Piece, None, int]:
        """Rows as `a | b`: cells begin at a bar; a blank line after the first row, or its width, tells the columns."""
        mark = self.lines[i].rstrip()
        end = next((j for j in range(i + 1, last) if self.lines[j].rstrip() == mark), last)
        body = [row for row in self.lines[i + 1 : end] if not row.lstrip().startswith("//")]
        if mark[0] == "|":
            rows = self._cells(body, self._columns(i))
        else:
            separator = {",": ",", ":": ":", "!": "!"}[mark[0]]
            rows = [[self._shown(cell) for cell in row.split(separator)] for row in body if row.strip()]
        yield Piece("table", "\n".join(" | ".join(row).rstrip(" |") for row in rows if any(row)))
        return min(end + 1, last)

    def _columns(self, i: int) -> int:
        """Columns that `[cols="..."]` above a table says; 0 where it does not."""
        above = self.lines[i - 1] if i else ""
        match = re.search(r"cols=(?:\"([^\"]*)\"|'([^']*)'|([^,\]]+))", above) if above.startswith("[") else None
        if match is None:
            return 0
        words = next(g for g in match.groups() if g is not None)
        if (times := re.fullmatch(r"(\d{1,2})\*.*", words)) is not None:
            return int(times.group(1))
        return sum(int(m.group(1)) if (m := re.match(r"\s*(\d{1,2})\*", w)) else 1 for w in re.split(r"[,;]", words))

    def _cells(self, body: list[str], columns: int) -> list[list[str]]:
        first = next((row for row in body if row.strip()), "")
        columns = columns or max(1, len(CELL.findall(first)))
        cells: list[list[str]] = []
        for row in body:
            before, *parts = CELL.split(row)
            if before.strip() and cells:
                cells[-1].append(before.strip())
            cells += [[part.strip()] for part in parts]
        words = [self._shown(" ".join(part for part in cell if part)) for cell in cells]
        return [words[at : at + columns] for at in range(0, len(words), columns)]

    def _list(self, i: int, last: int, depth: int) -> Generator[Piece, None, int]:
        """Items and terms until a line that belongs to none; blocks that `+` attaches stand where they are attached."""
        items: list[str] = []
        while i < last:
            line = self.lines[i].rstrip()
            item, term = ITEM.match(line), TERM.match(line)
            if line == "+":  # attaches the block below
                i += 1
                end = self._attached(i, last)
                found = list(self.pieces(i, end, depth + 1)) if depth < MAX_DEPTH else []
                for piece in found:
                    if piece.type == "paragraph":
                        items.append(f"  {piece.text}")
                        continue
                    if items:
                        yield Piece("list", "\n".join(items))
                    items = []
                    yield piece
                i = max(end, i)
            elif item is not None:
                mark = item.group(1)
                nested = len(mark) - 1 if mark[0] in "*." else 0
                i, rows = self._wrapped(i + 1, last)
                words = " ".join([CHECKBOX.sub("", item.group(2)), *rows])
                items.append("  " * nested + "- " + self._shown(words))
            elif term is not None:
                i, rows = self._wrapped(i + 1, last)
                words = " ".join([term.group(2) or "", *rows]).strip()
                items.append(f"- {self._shown(term.group(1))}" + (f": {self._shown(words)}" if words else ""))
            elif not line.strip():
                following = next((j for j in range(i, min(last, i + 3)) if self.lines[j].strip()), last)
                if following >= last:
                    i = last
                    break
                text = self.lines[following].rstrip()
                if (
                    items
                    and items[-1].startswith("- ")
                    and TERM.match(self.lines[following - 2] if following > 1 else "")
                ):
                    i, rows = self._paragraph(following, last)  # a term's text below a blank line
                    items[-1] += ": " + self._shown(" ".join(row.strip() for row in rows))
                elif ITEM.match(text) or TERM.match(text) or text == "+":
                    i = following
                else:
                    break
            elif line.startswith("//") or ATTRIBUTES.match(line):
                i += 1
            else:
                break
        if items:
            yield Piece("list", "\n".join(items))
        return i

    def _attached(self, i: int, last: int) -> int:
        """The line after the one block that begins here, its attributes before it."""
        while i < last and (ATTRIBUTES.match(self.lines[i].rstrip()) or TITLE.match(self.lines[i].rstrip())):
            i += 1
        line = self.lines[i].rstrip() if i < last else ""
        if FENCE.match(line) or TABLE_FENCE.match(line):
            return next((j + 1 for j in range(i + 1, last) if self.lines[j].rstrip() == line), last)
        while i < last and self.lines[i].strip() and self.lines[i].rstrip() != "+" and not ITEM.match(self.lines[i]):
            i += 1
        return i

    def _wrapped(self, i: int, last: int) -> tuple[int, list[str]]:
        """Lines that go on with an item."""
        rows: list[str] = []
        while i < last:
            line = self.lines[i].rstrip()
            if not line.strip() or line == "+" or ITEM.match(line) or TERM.match(line) or FENCE.match(line):
                break
            if ATTRIBUTES.match(line) or TABLE_FENCE.match(line) or HEADING.match(line):
                break
            if not line.startswith("//"):
                rows.append(line.strip().removesuffix(" +"))
            i += 1
        return i, rows

    def _paragraph(self, i: int, last: int) -> tuple[int, list[str]]:
        """Lines up to a blank one or the beginning of a block."""
        rows = [self.lines[i]]
        i += 1
        while i < last and self.lines[i].strip():
            line = self.lines[i].rstrip()
            if FENCE.match(line) or TABLE_FENCE.match(line) or (ATTRIBUTES.match(line) and not line.startswith("[[")):
                break
            if not line.startswith("//") and not DIRECTIVE.match(line):
                rows.append(line)
            i += 1
        return i, rows

    def _shown(self, words: str) -> str:
        return shown(words, self.attributes)


def _without_marks(title: str) -> str:
    """A title without the marks that may close it as they opened it."""
    title = title.rstrip()
    bare = title.rstrip("=")
    return bare.rstrip() if bare[-1:].isspace() else title


def _dedented(rows: list[str]) -> list[str]:
    """Rows of an indented paragraph without what all are indented by."""
    return dedent("\n".join(rows)).split("\n")
