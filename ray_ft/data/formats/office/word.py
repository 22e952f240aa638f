"""Word documents by python-docx: headings, lists and tables in their place, with all changes accepted."""

import io
from collections.abc import Iterable, Iterator
from itertools import groupby

from ray_ft.data.formats.assemble import Piece, assemble
from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.office import check_archive
from ray_ft.data.formats.office.word_parts import Parts
from ray_ft.data.formats.office.word_walk import Walk


def parse_docx(data: bytes) -> Parsed:
    """Blocks in the order of the document. Raises Unreadable for an encrypted, damaged or swelling file."""
    import docx

    check_archive(data)
    document = docx.Document(io.BytesIO(data))
    title = (document.core_properties.title or "").strip()
    walk = Walk(Parts.of(document))
    walk.all(document.element.body)
    walk.end()
    text, blocks = assemble(_merged(walk.pieces))
    return Parsed(text, blocks, {"title": title} if title else {})


def _merged(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Items that follow each other as one list, lines of code as one block."""
    for kind, run in groupby(pieces, key=lambda piece: piece.type):
        if kind in ("list", "code"):
            yield Piece(kind, "\n".join(piece.text for piece in run))
        else:
            yield from run
