"""Spaces between words as the places of their letters show them, where PDFium tells others.

PDFium takes room that is set between all letters of a stretch for letters set wide, also where the stretch is the last
letter of one word and the first of the next, as groff writes it; it also keeps a space that a letter is drawn over.
To ask for the place of every letter takes as long as all else: a sample of lines tells whether a file needs it.
"""

import re
from collections.abc import Sequence
from operator import sub
from typing import Protocol

from ray_ft.data.formats.pdf.places import Places

MIN_ROOM, MIN_INK_ROOM = 0.16, 0.1  # of the size: between two words, by the widths of letters and by what is drawn
MAX_NO_ROOM = 0.05  # of the size: between two letters of a word
FIRST_PAGES, EVERY_PAGE, EVERY_LINE = 3, 12, 6  # that are looked at until a space is missed
SPACE = re.compile(" ")
FIRST_UNSPACED = 0x2E80  # scripts from here on are set without spaces


class Letters(Protocol):
    """What is asked about the letters of a page."""

    places: Places

    def numbers(self, positions: Sequence[int]) -> Sequence[int]:
        """PDFium's numbers of the characters at places of the text."""
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
        lefts, rights = letters.places.loose(letters.numbers(range(first, first + len(text))))
        gaps = list(map(sub, lefts[1:], rights))
        room, no_room = MIN_ROOM * size, MAX_NO_ROOM * size
        wide = [i for i, gap in enumerate(gaps) if gap >= room and _is_letter(text[i]) and _is_letter(text[i + 1])]
        covered = {
            i
            for i in (found.start() for found in SPACE.finditer(text))
            if abs(lefts[i + 1] - rights[i - 1]) <= no_room and _is_letter(text[i - 1]) and _is_letter(text[i + 1])
        }
        if not (wide or covered) or 2 * sum([gap > no_room for gap in gaps]) > len(gaps):
            return text  # or letters set wide, or widths that are not those of the letters
        missed = {i + 1 for i in wide if self._ink_room(first + i, letters) >= MIN_INK_ROOM * size}
        if missed or covered:
            self.since = self.page if self.since is None else self.since
        parted = list(text)
        for i in missed:
            parted[i] = f" {text[i]}"
        for i in covered:
            parted[i] = ""
        return "".join(parted)

    @staticmethod
    def _ink_room(position: int, letters: Letters) -> float:
        right = letters.sides(position)[1]
        return letters.sides(position + 1)[0] - right


def _is_letter(c: str) -> bool:
    return c.isprintable() and not c.isspace() and ord(c) < FIRST_UNSPACED
