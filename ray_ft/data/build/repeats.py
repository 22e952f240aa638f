"""What of a document is left out: what was told before, what many begin or end with, and more than one file's share."""

from collections.abc import Collection
from dataclasses import replace

from ray_ft.data.build.packing import Edged
from ray_ft.data.dedup.edges import edges_of
from ray_ft.data.dedup.heads import sections_of
from ray_ft.data.dedup.splits import position
from ray_ft.data.documents import ReadFile
from ray_ft.data.filters.redaction import without_blocks
from ray_ft.rows import Document

REPEATED = "repeated from elsewhere"
TOO_MUCH = "over the share of one file"
REPEATED_SHARE = 0.9  # of a chunk's sections, in characters


def without_repeated(edged: list[Edged], document: Document, repeated: Collection[int]) -> list[Edged]:
    """The examples, those left out whose chunk is made of sections that this document or another gave before."""
    sections, again = sections_of(document), set(repeated)
    first: dict[int, int] = {}
    for s in sections:
        first[s.key] = min(first.get(s.key, s.start), s.start)
    if not again and all(first[s.key] >= s.start for s in sections):
        return edged

    def is_repeated(one: Edged) -> bool:
        start, end = one.span
        inside = [s for s in sections if s.start < end and s.end > start]
        # The class around a method says nothing of it.
        whole = [s for s in inside if s.start >= start and s.end <= end]
        inside = whole if 2 * sum(s.size for s in whole) >= end - start else inside
        total = sum(s.size for s in inside)
        gone = sum(s.size for s in inside if s.key in again or first[s.key] < s.start)
        return total > 0 and gone >= REPEATED_SHARE * total

    return [_left_out(one, REPEATED) if not one.example.dropped and is_repeated(one) else one for one in edged]


def without_common(read: ReadFile, common: Collection[int]) -> ReadFile:
    """The file without the blocks at its head and foot that many documents have; its note counts them."""
    if read.document is None or not common:
        return read
    gone = {edge.place for edge in edges_of(read.document) if edge.key in common}
    if all(i in gone for i, block in enumerate(read.document.blocks) if block.type != "heading"):
        return read  # it would say nothing
    note = "; ".join(filter(None, (read.note, f"{len(gone)} common lines left out")))
    return replace(read, document=without_blocks(read.document, gone), note=note, num_common=len(gone))


def within_share(edged: list[Edged], kept: float) -> list[Edged]:
    """The examples, those left out that the lot of their chunk does not keep."""
    if kept >= 1:
        return edged
    return [
        _left_out(one, TOO_MUCH)
        if not one.example.dropped and position(f"share:{one.example.chunk_id}", seed=0) >= kept
        else one
        for one in edged
    ]


def _left_out(one: Edged, reason: str) -> Edged:
    return replace(one, example=replace(one.example, dropped=reason))
