"""Word documents by python-docx: headings by style, lists, tables in their place."""

import io
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.office import check_archive, row_text

MAX_NESTED = 3  # tables in tables


def parse_docx(data: bytes) -> Parsed:
    """Blocks in the order of the document. Raises Unreadable for an encrypted, damaged or swelling file."""
    import docx

    check_archive(data)
    document = docx.Document(io.BytesIO(data))
    title = (document.core_properties.title or "").strip()
    text, blocks = assemble(_merged(_pieces(document)))
    return Parsed(text, blocks, {"title": title} if title else {})


def _pieces(container: Any) -> Iterator[Piece]:
    from docx.table import Table

    for item in container.iter_inner_content():
        if isinstance(item, Table):
            yield Piece("table", "\n".join(_rows(item)))
            continue
        style = (item.style.name or "") if item.style is not None else ""
        words = item.text.strip()
        if not words:
            continue
        level = _level(style)
        if level:
            yield Piece("heading", words, level=level)
        elif style.startswith("List") or _is_numbered(item):
            yield Piece("list", f"- {words}")
        else:
            yield Piece("code" if "code" in style.lower() else "paragraph", words)


def _level(style: str) -> int:
    """`Title` stands above `Heading 1`, yet documents rarely have both as a hierarchy: both are at the top."""
    if style in ("Title", "title"):
        return 1
    number = style.lower().removeprefix("heading ")
    return min(6, int(number)) if number != style.lower() and number.isdigit() and int(number) > 0 else 0


def _is_numbered(paragraph: Any) -> bool:
    properties = paragraph._p.pPr
    return properties is not None and properties.numPr is not None


def _rows(table: Any, depth: int = 1) -> Iterator[str]:
    """Rows as `a | b`; a cell that spans several columns stands once."""
    for row in table.rows:
        cells: list[str] = []
        last = None
        for cell in row.cells:
            if cell._tc is not last:
                cells.append(cell.text)
                last = cell._tc
        if words := row_text(cells):
            yield words
        if depth < MAX_NESTED:
            for inner in (t for c in dict.fromkeys(row.cells) for t in c.tables):
                yield from _rows(inner, depth + 1)


def _merged(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Items that follow each other as one list, lines of code as one block."""
    held: Piece | None = None
    for piece in pieces:
        if held is not None and piece.type == held.type and piece.type in ("list", "code"):
            held = Piece(held.type, f"{held.text}\n{piece.text}")
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held
