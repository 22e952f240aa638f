"""What every parser returns, and the table of line starts that turns lines into character spans."""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from ray_ft.rows import Block, BlockType, Definition

LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+\S")


@dataclass(frozen=True)
class Parsed:
    """A document's text and its blocks, in order; `text[b.start:b.end] == b.text` for every block."""

    text: str
    blocks: tuple[Block, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    definitions: tuple[Definition, ...] = ()
    language: str = ""  # of code, where only its content tells that a file of this format is code


class Unreadable(ValueError):
    """Why a file gives no document: a reason to count by, and what is particular to this file.

    `broken` says that the file or its parser is at fault, so that another attempt may end otherwise: it is put aside
    in quarantine. Files that are as they are meant to be, such as encrypted ones, are skipped.
    """

    def __init__(self, reason: str, note: str = "", *, broken: bool = False) -> None:
        super().__init__(reason, note)
        self.reason, self.note, self.broken = reason, note, broken


def still_working() -> None:
    """Tell the process that waits for a parser in a child process that it goes on; its deadline begins anew."""
    if SIGNS_OF_LIFE:
        SIGNS_OF_LIFE[-1]()


SIGNS_OF_LIFE: list[Callable[[], None]] = []


class Lines:
    """Lines of a text by 0-based number; only a newline ends a line, as the parsers count them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.starts = [0, *accumulate(len(line) + 1 for line in self.lines)]

    def __len__(self) -> int:
        return len(self.lines)

    def start(self, line: int) -> int:
        """Offset of a line's first character; past the end it is the text's length."""
        return min(self.starts[min(line, len(self.lines))], len(self.text))

    def end(self, line: int) -> int:
        """Offset after a line's last character, its newline excluded."""
        return self.start(line) + len(self.lines[line])

    def line_of(self, offset: int) -> int:
        """The line that holds an offset."""
        return min(bisect_right(self.starts, offset) - 1, len(self.lines) - 1)

    def block(self, kind: BlockType, first: int, last: int, *, level: int = 0) -> Block | None:
        """The block of lines first <= i < last without blank lines around it; None when nothing is left."""
        while first < last and not self.lines[first].strip():
            first += 1
        while last > first and not self.lines[last - 1].strip():
            last -= 1
        if first >= last:
            return None
        start, end = self.start(first), self.end(last - 1)
        end = start + len(self.text[start:end].rstrip())
        return Block(kind, self.text[start:end], start, end, first + 1, last, level)

    def heading(self, title: str, first: int, last: int, *, level: int) -> Block | None:
        """The heading whose title stands in lines first <= i < last; its span is the title without its marks."""
        start = self.text.find(title, self.start(first), self.end(last - 1)) if title else -1
        if start < 0:
            return None
        return Block("heading", title, start, start + len(title), first + 1, last, level)
