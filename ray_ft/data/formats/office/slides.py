"""Slides by python-pptx: titles as headings, texts as they are read, tables, charts and notes; a page is a slide."""

import io
from collections.abc import Iterator
from typing import Any

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed, still_working
from ray_ft.data.formats.office import check_archive
from ray_ft.data.formats.office.slide_order import Box, is_furniture, is_title, ordered, places_of
from ray_ft.data.formats.office.slide_shapes import chart_pieces, diagram_pieces, table_piece, text_pieces

MAX_DEPTH = 10  # of groups of shapes


def parse_pptx(data: bytes) -> Parsed:
    """Blocks slide by slide. Raises Unreadable for an encrypted, damaged or swelling file."""
    import pptx

    check_archive(data)
    show = pptx.Presentation(io.BytesIO(data))
    pieces: list[Piece] = []
    places: dict[str, dict[str, Box]] = {}  # of placeholders, by layout
    for number, slide in enumerate(show.slides, start=1):
        still_working()
        layout = slide.slide_layout
        name = str(layout.part.partname)
        if name not in places:
            places[name] = places_of(layout)
        pieces += _slide(slide, number, places[name])
    text, blocks = assemble(pieces)
    title_text = (show.core_properties.title or "").strip()
    return Parsed(text, blocks, {"pages": str(len(show.slides))} | ({"title": title_text} if title_text else {}))


def _slide(slide: Any, number: int, places: dict[str, Box]) -> Iterator[Piece]:
    shapes = [shape for shape in slide.shapes if not is_furniture(shape)]
    title = next((shape for shape in shapes if is_title(shape) and shape.text_frame.text.strip()), None)
    if title is not None:
        yield Piece("heading", title.text_frame.text, level=1, page=number)
    for shape in ordered((shape for shape in shapes if shape is not title), places):
        yield from _shape(shape, number)
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        yield from text_pieces(notes.paragraphs, number)


def _shape(shape: Any, page: int, depth: int = 0) -> Iterator[Piece]:
    if hasattr(shape, "shapes"):
        if depth < MAX_DEPTH:
            for inner in ordered(shape.shapes, {}):
                yield from _shape(inner, page, depth + 1)
    elif getattr(shape, "has_table", False):
        yield table_piece(shape.table, page)
    elif getattr(shape, "has_chart", False):
        yield from chart_pieces(shape.chart, page)
    elif shape.has_text_frame:
        yield from text_pieces(shape.text_frame.paragraphs, page)
    else:
        yield from diagram_pieces(shape, page)
