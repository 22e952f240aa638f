"""Spaces between words as the places of their letters show them, where PDFium tells others.

PDFium takes room that is set between all letters of a stretch for letters set wide, also where the stretch is the last
letter of one word and the first of the next, as groff writes it; it also keeps a space that a letter is drawn over.
To ask for the place of every letter takes as long as all else: a sample of lines tells whether a file needs it.
"""

import ctypes
from typing import Any, Protocol

MIN_ROOM, MIN_INK_ROOM = 0.16, 0.1  # of the size: between two words, by the widths of letters and by what is drawn
MAX_NO_ROOM = 0.05  # of the size: between two letters of a word
FIRST_PAGES, EVERY_PAGE, EVERY_LINE = 3, 12, 6  # that are looked at until a space is missed
FIRST_UNSPACED = 0x2E80  # scripts from here on are set without spaces


class Letters(Protocol):
    """What is asked about the letters of a page."""

    pdfium: Any
    raw: Any
    loose: Any
    is_exact: bool

    def at(self, position: int) -> int:
        """PDFium's number of the character at a place of the text."""
        ...

    def sides(self, position: int) -> tuple[float, float]:
        """Left and right end of what is drawn of a character, in points."""
        ...


class Spaces:
    """Mends the lines of a file from the first page on where a sample shows that it needs it."""

    def __init__(self) -> None:
        self.since: int | None = None  # number of the page
        self.page = 0

    def looks_at(self, row: int) -> bool:
        """Whether a line of the page is to be mended, or looked at as one of the sample."""
        if self.since is not None:
            return True
        return row % EVERY_LINE == 0 and (self.page < FIRST_PAGES or self.page % EVERY_PAGE == 0)

    def mended(self, text: str, first: int, size: float, letters: Letters) -> str:
        """A line whose text begins at a place of its page's text, with spaces where there is room and only there.

        `text` begins and ends with no space.
        """
        lefts, rights = _places(first, len(text), letters)
        gaps = [left - right for left, right in zip(lefts[1:], rights, strict=False)]
        room = MIN_ROOM * size
        wide = [i for i, gap in enumerate(gaps) if gap >= room and _is_letter(text[i]) and _is_letter(text[i + 1])]
        covered = {
            i
            for i, c in enumerate(text)
            if c == " "
            and abs(lefts[i + 1] - rights[i - 1]) <= MAX_NO_ROOM * size
            and _is_letter(text[i - 1])
            and _is_letter(text[i + 1])
        }
        if not (wide or covered) or 2 * sum(gap > MAX_NO_ROOM * size for gap in gaps) > len(gaps):
            return text  # or letters set wide, or widths that are not those of the letters
        missed = {i + 1 for i in wide if self._ink_room(first + i, letters) >= MIN_INK_ROOM * size}
        if missed or covered:
            self.since = self.page if self.since is None else self.since
        return "".join(" " * (i in missed) + c for i, c in enumerate(text) if i not in covered)

    @staticmethod
    def _ink_room(position: int, letters: Letters) -> float:
        right = letters.sides(position)[1]
        return letters.sides(position + 1)[0] - right


def _places(first: int, length: int, letters: Letters) -> tuple[list[float], list[float]]:
    """Where each letter begins and ends, by its width and not by what is drawn of it."""
    ask, raw, loose = letters.pdfium.FPDFText_GetLooseCharBox, letters.raw, letters.loose
    box = ctypes.byref(loose)
    numbers = range(first, first + length)
    lefts, rights = [], []
    for number in numbers if letters.is_exact else map(letters.at, numbers):
        ask(raw, number, box)
        lefts.append(loose.left)
        rights.append(loose.right)
    return lefts, rights


def _is_letter(c: str) -> bool:
    return c.isprintable() and not c.isspace() and ord(c) < FIRST_UNSPACED
