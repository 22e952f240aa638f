"""A page of Markdown whose lines are cleaned in place: what becomes a block, and what is taken out of the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ray_ft.data.formats.base import Lines
from ray_ft.data.formats.content.dumps import is_dump
from ray_ft.data.formats.content.navigation import MAX_SIGNPOST, is_left_alone, is_signpost
from ray_ft.data.formats.content.people import names_people
from ray_ft.data.formats.lightweight.markdown.cleaning import IMPORTS, clean_html, clean_line, needs_cleaning
from ray_ft.rows import Block, BlockType

if TYPE_CHECKING:
    from markdown_it.token import Token

MIN_LINKS = 2  # of a list that leads to the page's own sections
MAX_BESIDE_LINKS = 0.2  # share of such a list's characters that are no links


@dataclass(frozen=True)
class Draft:
    """A block to be: lines first <= i < last, and a heading's words."""

    type: BlockType
    first: int
    last: int
    level: int = 0
    text: str = ""


class Page:
    """The lines of a page and the blocks that are found in them, in order."""

    def __init__(self, text: str, tokens: Sequence["Token"], skipped: int) -> None:
        self.text, self.tokens = text, tokens
        self.lines = text.split("\n")
        self.drafts: list[Draft] = []
        self.code = _lines_of_code(tokens)
        self.is_dirty = needs_cleaning(text)
        if "]:" in text:
            self._blank_definitions(skipped)

    def add(self, kind: BlockType, first: int, last: int) -> None:
        """Take lines as a block, cleaned unless they are code."""
        if kind != "code":
            self._clean(first, last)
        elif is_dump("\n".join(self.lines[first:last])):
            self.blank(first, last)
            return
        self.drafts.append(Draft(kind, first, last))

    def add_heading(self, title: str, first: int, last: int, level: int) -> None:
        """Take lines as a heading."""
        self._clean(first, last)
        title = clean_line(title).strip() if self.is_dirty else title
        self.drafts.append(Draft("heading", first, last, level, title))

    def add_html(self, first: int, last: int) -> None:
        """Take the words of HTML as paragraphs, and its headings."""
        start = first
        for number, (level, words) in enumerate(clean_html("\n".join(self.lines[first:last])), first):
            self.lines[number] = f"{'#' * level} {words}" if level else words
            if level:
                self.drafts += [Draft("paragraph", start, number), Draft("heading", number, number + 1, level, words)]
                start = number + 1
        self.drafts.append(Draft("paragraph", start, last))

    def blank(self, first: int, last: int) -> None:
        """Take lines out of the text."""
        self.lines[first:last] = [""] * (last - first)

    def blocks(self, nothing: re.Pattern[str]) -> tuple[str, list[Block]]:
        """The text that is left, and its blocks; one that matches `nothing` is none."""
        for draft in self.drafts:
            if draft.type != "heading":
                words = "\n".join(self.lines[draft.first : draft.last])
                leads = draft.type == "paragraph" and len(words) <= MAX_SIGNPOST and is_signpost(words)
                if leads or nothing.fullmatch(words) or (draft.type == "paragraph" and is_dump(words)):
                    self.blank(draft.first, draft.last)
        drafts = [d for d in self.drafts if d.type == "heading" or any(map(str.strip, self.lines[d.first : d.last]))]
        for i, draft in enumerate(drafts):
            if is_left_alone(drafts, i):
                self.blank(draft.first, draft.last)
        text = "\n".join(self.lines)
        lines = Lines(self.text if text == self.text else text)
        made = (
            lines.heading(d.text, d.first, d.last, level=d.level)
            if d.type == "heading"
            else lines.block(d.type, d.first, d.last)
            for d in drafts
        )
        return lines.text, [block for block in made if block is not None]

    def is_no_content(self, start: int, first: int, last: int) -> bool:
        """Whether the list that begins with a token leads to the page's own sections, or to accounts of people."""
        return self.leads_here(start) or names_people(self.lines[first:last])

    def leads_here(self, start: int) -> bool:
        """Whether the list that begins with a token is the contents of the page itself."""
        links, linked, beside, is_inside = 0, 0, 0, False
        for place in range(start + 1, len(self.tokens)):  # a copy of all that follows would take the square of them
            token = self.tokens[place]
            if token.level == 0:
                break
            for child in token.children or ():
                if child.type == "link_open":
                    if not str(child.attrGet("href") or "").startswith("#"):
                        return False
                    links, is_inside = links + 1, True
                elif child.type == "link_close":
                    is_inside = False
                elif is_inside:
                    linked += len(child.content)
                else:
                    beside += len(child.content)
        return links >= MIN_LINKS and beside <= MAX_BESIDE_LINKS * linked

    def _clean(self, first: int, last: int) -> None:
        if self.is_dirty:
            lines, code = self.lines, self.code
            for number in range(first, last):
                line = lines[number]
                if ("<" in line or "{" in line or ":" in line or line.startswith(IMPORTS)) and number not in code:
                    lines[number] = clean_line(line)

    def _blank_definitions(self, skipped: int) -> None:
        """Definitions of links stand between blocks and belong to none."""
        covered = {i for t in self.tokens if t.level == 0 and t.map for i in range(*t.map)}
        for number in range(skipped, len(self.lines)):
            if number not in covered:
                self.lines[number] = ""


def _lines_of_code(tokens: Sequence["Token"]) -> set[int]:
    """Lines of listings inside of lists and quotes."""
    return {i for t in tokens if t.type in ("fence", "code_block") and t.level and t.map for i in range(*t.map)}
