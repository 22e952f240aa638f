"""One walk through the body of a Word document, which writes its pieces in their order."""

from dataclasses import dataclass, field
from typing import Any

from ray_ft.data.formats.assemble import Piece, row_lines
from ray_ft.data.formats.base import still_working
from ray_ft.data.formats.office.word_parts import Parts
from ray_ft.data.formats.office.word_styles import Style, W, outline_level, value, whole
from ray_ft.data.formats.office.word_tables import Cell, is_layout, rows_of
from ray_ft.data.formats.office.word_text import Words, content_of

MAX_NESTED = 20  # tables, boxes and controls in one another
MAX_HEADING = 300  # characters; what is longer is text, whatever its style
MAX_REPEATED = 100  # characters of a cell that reaches over rows
WRAPPERS = frozenset({f"{W}customXml", f"{W}smartTag", f"{W}ins", f"{W}moveTo"})
NO_LISTS = ("list paragraph", "list continue")  # styles of lists whose paragraphs are items only where a number says so
BREATH = 500  # paragraphs between signs of life


@dataclass
class Walk:
    """A walk through a document and the pieces it wrote."""

    parts: Parts
    words: Words = field(default_factory=Words)
    pieces: list[Piece] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)  # that wait for the end of a list or a table
    in_cells: int = 0
    held: str = ""  # words of a paragraph whose end was taken out
    num_paragraphs: int = 0

    def all(self, container: Any, depth: int = 0) -> None:
        """Write what stands in the body, a cell, a text box or a content control."""
        for node in container:
            tag = node.tag
            if tag == f"{W}p":
                self.paragraph(node, depth)
            elif depth >= MAX_NESTED:
                continue
            elif tag == f"{W}tbl":
                self.table(node, depth)
            elif tag == f"{W}sdt":
                if (content := content_of(node)) is not None:
                    self.all(content, depth + 1)
            elif tag in WRAPPERS:
                self.all(node, depth + 1)

    def paragraph(self, node: Any, depth: int) -> None:
        """Write a paragraph, and then the text boxes and the notes that hang on it."""
        self.num_paragraphs += 1
        if self.num_paragraphs % BREATH == 0:
            still_working()
        properties = node.find(f"{W}pPr")
        style = self.parts.styles.get(value(properties, "pStyle") or "", self.parts.styles[""])
        if style.level:
            self.words.fields.clear()  # a damaged one would hide all that follows
        words = self.held + self.words.of(node)
        self.held = ""
        if properties is not None and _has_no_end(properties):
            self.held = words
            return
        if words.strip() and not style.is_contents:
            self.write(words.strip(), style, properties)
        self.notes += self.words.notes
        self.words.notes = []
        if self.pieces and self.pieces[-1].type != "list":
            self.end()
        boxes, self.words.boxes = self.words.boxes, []
        for box in boxes if depth < MAX_NESTED else ():
            self.all(box, depth + 1)

    def write(self, words: str, style: Style, properties: Any) -> None:
        """Write words as what their paragraph is."""
        given = outline_level(properties)
        level = style.level if given is None else given
        if level and len(words) <= MAX_HEADING:
            self.add(Piece("heading", words, level=min(level, 6)))
            return
        own = properties.find(f"{W}numPr") if properties is not None else None
        number = value(own, "numId") or style.number
        depth = whole(value(own, "ilvl"), style.depth)
        is_item = number if number else style.name.startswith("list ") and style.name not in NO_LISTS
        if is_item and number != "0":
            indent = "  " * min(depth + style.indent, MAX_NESTED)
            self.add(Piece("list", f"{indent}{self.parts.numbering.mark(number, depth)} {' '.join(words.split())}"))
        else:
            self.add(Piece("code" if style.is_code else "paragraph", words))

    def table(self, node: Any, depth: int) -> None:
        """Write a table as rows, or what stands in its cells where it only places them."""
        rows = rows_of(node)
        if is_layout(rows, self.parts.styles):
            for cell in (cell for row in rows for cell in row):
                self.all(cell.node, depth + 1)
            return
        self.end()  # what is noted in the cells comes behind the table
        lines: list[str] = []
        above: list[str] = []
        for row in rows:
            above = self.row(row, above, depth)
            lines += row_lines(above)
        self.pieces.append(Piece("table", "\n".join(lines)))
        self.end()

    def row(self, row: list[Cell], above: list[str], depth: int) -> list[str]:
        """The words of each column of a row; what reaches down from the row above stands in it again."""
        found: list[str] = []
        for cell in row:
            words = self.cell(cell.node, depth)
            if cell.goes_on and not words and len(found) < len(above) and len(above[len(found)]) <= MAX_REPEATED:
                words = above[len(found)]
            found += [words, *[""] * (cell.columns - 1)]
        return found

    def cell(self, node: Any, depth: int) -> str:
        """The words of a cell: on one line, but for lists, listings and tables in it."""
        outer, self.pieces = self.pieces, []
        self.in_cells += 1
        self.all(node, depth + 1)
        self.in_cells -= 1
        found, self.pieces = self.pieces, outer
        on_one_line = all(piece.type in ("paragraph", "heading") for piece in found)
        return (
            " ".join(" ".join(piece.text.split()) for piece in found)
            if on_one_line
            else "\n".join(piece.text for piece in found)
        )

    def add(self, piece: Piece) -> None:
        """Write a piece behind the notes that wait, unless it goes on with a list."""
        if piece.type != "list":
            self.end()
        self.pieces.append(piece)

    def end(self) -> None:
        """Write the notes that wait, unless a cell is being read."""
        if self.in_cells:
            return
        self.pieces += [Piece("paragraph", self.parts.note(kind, name)) for kind, name in self.notes]
        self.notes = []


def _has_no_end(properties: Any) -> bool:
    """Whether the end of a paragraph was taken out, so that the next one goes on in it."""
    marks = properties.find(f"{W}rPr")
    return marks is not None and (marks.find(f"{W}del") is not None or marks.find(f"{W}moveFrom") is not None)
