"""Slides by python-pptx: the title as a heading, texts, tables and the speaker's notes; a block's page is its slide."""

import io
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed, still_working
from ray_ft.data.formats.office import check_archive, row_text

MAX_DEPTH = 10  # of groups of shapes


def parse_pptx(data: bytes) -> Parsed:
    """Blocks slide by slide. Raises Unreadable for an encrypted, damaged or swelling file."""
    import pptx

    check_archive(data)
    show = pptx.Presentation(io.BytesIO(data))
    pieces: list[Piece] = []
    for number, slide in enumerate(show.slides, start=1):
        still_working()
        title = slide.shapes.title
        if title is not None and title.text_frame.text.strip():
            pieces.append(Piece("heading", title.text_frame.text, level=1, page=number))
        for shape in slide.shapes:
            if title is None or shape.shape_id != title.shape_id:
                pieces += _shape(shape, number)
        notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if notes is not None and notes.text.strip():
            pieces.append(Piece("paragraph", notes.text, page=number))
    text, blocks = assemble(pieces)
    title_text = (show.core_properties.title or "").strip()
    return Parsed(text, blocks, {"pages": str(len(show.slides))} | ({"title": title_text} if title_text else {}))


def _shape(shape: Any, page: int, depth: int = 0) -> Iterator[Piece]:
    if hasattr(shape, "shapes"):
        if depth < MAX_DEPTH:
            for inner in shape.shapes:
                yield from _shape(inner, page, depth + 1)
    elif getattr(shape, "has_table", False):
        rows = (row_text(cell.text for cell in row.cells) for row in shape.table.rows)
        yield Piece("table", "\n".join(row for row in rows if row), page=page)
    elif shape.has_text_frame:
        yield from _texts(shape.text_frame.paragraphs, page)


def _texts(paragraphs: Any, page: int) -> Iterator[Piece]:
    """One paragraph, or a list of several: what a slide's body is."""
    lines = [("  " * p.level, " ".join(p.text.split())) for p in paragraphs]
    lines = [(indent, words) for indent, words in lines if words]
    if len(lines) == 1:
        yield Piece("paragraph", lines[0][1], page=page)
    elif lines:
        yield Piece("list", "\n".join(f"{indent}- {words}" for indent, words in lines), page=page)
