"""One walk over a page's tree, which writes its blocks in their order; what is furniture is left out on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ray_ft.data.formats.assemble import Piece
from ray_ft.data.formats.content.dumps import is_dump
from ray_ft.data.formats.html.furniture import is_furniture, is_index, is_kept, is_prose, leads_away
from ray_ft.data.formats.html.lines import is_line_of_site, is_row_of_links
from ray_ft.data.formats.html.names import Says, verdict
from ray_ft.data.formats.html.regions import BLOCKS, Regions
from ray_ft.data.formats.html.tables import cells_of, is_layout, joined, rows_of
from ray_ft.data.formats.html.text import HEADINGS, MAX_DEPTH, code_of, paragraphs_of, words_of
from ray_ft.rows import BlockType

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

PARAGRAPHS = frozenset({"p", "dt", "figcaption", "summary", "caption", "legend", "label"})
LISTS = frozenset({"ul", "ol", "menu", "dir"})
CODE = frozenset({"pre", "code", "tt", "kbd", "samp"})  # all but `pre` only where they stand alone: others are words
STARTS = BLOCKS | PARAGRAPHS | LISTS | CODE | HEADINGS.keys() | {"hr"}
DROPPED = frozenset({"nav", "head", "-comment", "colgroup", "input", "option", "datalist", "map", "hr"})
DOUBTFUL = frozenset({"aside", "footer", "header", "form"})
LABELS = frozenset({"Note", "Tip", "Warning", "Caution", "Important", "Danger"})  # in front of what they are of
NOTES = frozenset(["admonition", "note", "tip", "warning", "caution", "danger", "important", "hint", "attention"])
WHOLE = frozenset({"html", "body", "main"})


@dataclass
class Walk:
    """A walk and what it wrote; `lines` are those of the list that it is in, and `mark` begins its next line."""

    regions: Regions
    pieces: list[Piece] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    num_lists: int = 0  # that the walk is in
    mark: str = ""

    def children(self, node: "LexborNode", depth: int) -> None:
        """Write what stands in a node; runs of words make one paragraph."""
        run: list[str] = []
        links: list[str] = []  # their words in the run
        num_here = 0  # of them that lead to places of the page itself
        wrappers, above = self.regions.wrappers, self.regions.above
        is_above = bool(above) and node.mem_id in above
        for child in node.iter(include_text=True):
            tag = child.tag or ""
            if tag == "-text":
                text = child.text_content or ""
                if run or not text.isspace():
                    run.append(text)
            elif tag not in STARTS and not (wrappers and child.mem_id in wrappers):
                run.append("" if tag in DROPPED else child.text())
                if tag == "a":
                    links.append(run[-1])
                    num_here += (child.attributes.get("href") or "").startswith("#")
            else:
                if run:
                    self.run(run, links, is_above=is_above, leads_here=num_here == len(links))
                    run, links, num_here = [], [], 0
                if tag not in DROPPED and (not is_above or self.is_content(child, tag)):
                    self.block(child, tag, depth)
        if run:
            self.run(run, links, is_above=is_above, leads_here=num_here == len(links))

    def run(self, run: list[str], links: list[str], *, is_above: bool, leads_here: bool) -> None:
        """Write a run of words, unless it is a row of links: with bars between them, or all to this page's sections."""
        text = "".join(run)
        if len(links) > 1 and not self.num_lists and is_row_of_links(text, links, leads_here=leads_here):
            return
        self.words(text, is_above=is_above)

    def block(self, node: "LexborNode", tag: str, depth: int) -> None:
        """Write a block, unless it is furniture."""
        if tag in HEADINGS:
            self.heading(node, tag)
        elif tag == "p" or (tag in PARAGRAPHS and node.mem_id not in self.regions.wrappers):
            links = [link.text() for link in node.css("a")] if not self.num_lists else []
            if len(links) < 2 or not is_row_of_links(node.text(), links):
                self.words(node.text())
        elif tag in CODE:
            self.piece("code", code_of(node))
        elif depth >= MAX_DEPTH:
            self.words(node.text(separator=" "))
        else:
            says: Says = "" if tag in WHOLE else verdict(node)
            if (says and is_furniture(node, says)) or (tag in DOUBTFUL and not is_kept(node, tag, says)):
                return
            if tag == "dl" and is_index(node):
                return
            if tag in LISTS:
                self.list_of(node, depth)
            elif tag == "table":
                self.table(node, depth)
            elif tag != "dl" or not leads_away(node):
                self.children(node, depth + 1)

    def heading(self, node: "LexborNode", tag: str) -> None:
        """Write a heading; the title of a note or a warning heads nothing that stands behind the note."""
        parent, words = node.parent, words_of(node.text())
        if parent is not None and words and NOTES.intersection((parent.attributes.get("class") or "").split()):
            self.words(words if words.endswith((":", ".", "!", "?")) else f"{words}:")
        else:
            self.piece("heading", words, HEADINGS[tag])

    def list_of(self, node: "LexborNode", depth: int) -> None:
        """Write a list: its items with their marks, and what stands in them; nested lists are two spaces deeper."""
        if not self.num_lists and leads_away(node):
            return
        start = (node.attributes.get("start") or "") if node.tag == "ol" else ""
        number = int(start) if start.isdecimal() and len(start) < MAX_DIGITS else 1
        self.num_lists += 1
        for item in node.iter():
            if item.tag == "li":
                self.mark = f"{number}." if node.tag == "ol" else "-"
                number += 1
                self.children(item, depth + 1)
                self.mark = ""
            elif item.tag in LISTS:
                self.list_of(item, depth + 1)
        self.num_lists -= 1
        if not self.num_lists:
            self.end_list()

    def table(self, node: "LexborNode", depth: int) -> None:
        """Write a table as rows of `a | b | c`, or what stands in the cells where it only places them."""
        captions, rows = rows_of(node)
        grid = [cells_of(row) for row in rows]
        for caption in captions:
            self.words(caption.text())
        if leads_away(node):
            return
        if is_layout(node, grid, STARTS):
            for cell in (cell for row in grid for cell in row):
                self.children(cell, depth + 1)
            return
        self.piece("table", joined(grid, lambda cell: self.cell(cell, depth)))

    def cell(self, node: "LexborNode", depth: int) -> str:
        """The words of a cell: on one line, but for listings, lists and tables in it."""
        wrappers = self.regions.wrappers
        if not any(child.tag in STARTS or child.mem_id in wrappers for child in node.iter()):
            return words_of(node.text())
        inner = Walk(self.regions)
        inner.children(node, depth + 1)
        on_one_line = all(piece.type in ("paragraph", "heading") for piece in inner.pieces)
        return (" " if on_one_line else "\n").join(piece.text for piece in inner.pieces)

    def words(self, text: str, *, is_above: bool = False) -> None:
        """Write a paragraph, or a line of the list."""
        if self.mark or self.lines:
            if words := words_of(text):
                deep = "  " * (self.num_lists - bool(self.mark))
                self.lines.append(f"{deep}{self.mark}{' ' * bool(self.mark)}{words}")
                self.mark = ""
            return
        for words in paragraphs_of(text):
            if words in LABELS:
                words = f"{words}:"
            if not (is_above and not is_sentence(words)) and not is_line_of_site(words) and not is_dump(words):
                self.pieces.append(Piece("paragraph", words))

    def piece(self, kind: BlockType, text: str, level: int = 0) -> None:
        """Write a block of its own, which ends the lines of a list so far."""
        if text:
            self.end_list()
            if kind != "code" or not is_dump(text):
                self.pieces.append(Piece(kind, text, level))

    def end_list(self) -> None:
        """Write the lines of the list that the walk is in."""
        if self.lines:
            self.pieces.append(Piece("list", "\n".join(self.lines)))
            self.lines = []

    def is_content(self, node: "LexborNode", tag: str) -> bool:
        """Whether a node beside a main part is read: what leads to one is, and what reads as content itself."""
        regions, identity = self.regions, node.mem_id
        if identity in regions.mains or identity in regions.above:
            return True
        if tag in HEADINGS:
            return tag == "h1" and not regions.has_title
        if not regions.has_title and node.css_first("h1") is not None:
            return True
        if tag == "header":
            return node.parent is not None and node.parent.tag == "section" and is_prose(node, verdict(node))
        return tag != "footer" and is_prose(node, verdict(node))


MAX_DIGITS = 7  # of an item's number
MIN_SENTENCE = 40  # characters


def is_sentence(words: str) -> bool:
    """Whether loose words beside a page's main part are text."""
    return len(words) >= MIN_SENTENCE and words.endswith((".", "!", "?", "。"))


def pieces_of(root: "LexborNode", regions: Regions) -> Sequence[Piece]:
    """The blocks of all that stands below a node."""
    walk = Walk(regions)
    walk.children(root, depth=0)
    walk.end_list()
    return walk.pieces
