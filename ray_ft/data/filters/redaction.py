"""Stretches of a text to typed placeholders, or to nothing, with every span of the document moved along."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ray_ft.data.filters.secrets import Found
from ray_ft.rows import Block, Definition, Document


def placeholder(kind: str) -> str:
    """What stands in a redacted text instead of something of this kind."""
    return f"<{kind}>"


def disjoint(found: Iterable[Found], text: str) -> list[Found]:
    """In order and without overlaps, the first and then the longest first; none goes over the end of its line."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        newline = text.find("\n", one.start, one.end)
        one = replace(one, end=newline) if newline >= 0 else one
        if one.start < one.end and (not kept or one.start >= kept[-1].end):
            kept.append(one)
    return kept


@dataclass(frozen=True)
class Redaction:
    """A redacted text, and where the places of the old one are in it."""

    text: str
    starts: Sequence[int]  # of what was replaced, in the old text
    ends: Sequence[int]
    shifts: Sequence[int]  # how far what follows moved

    @staticmethod
    def of(text: str, found: Sequence[Found]) -> "Redaction":
        """Replace disjoint stretches."""
        return Redaction.replaced(text, [(one.start, one.end, placeholder(one.kind)) for one in found])

    @staticmethod
    def replaced(text: str, stretches: Sequence[tuple[int, int, str]]) -> "Redaction":
        """Replace disjoint stretches, each by words of its own."""
        parts, shifts, position, shift = [], [], 0, 0
        for start, end, words in stretches:
            parts += [text[position:start], words]
            position = end
            shift += len(words) - (end - start)
            shifts.append(shift)
        text = "".join([*parts, text[position:]])
        return Redaction(text, [s[0] for s in stretches], [s[1] for s in stretches], shifts)

    def place(self, old: int, *, is_end: bool = False) -> int:
        """The new place of an old one; inside of what was replaced, its beginning, or its end for the end of a span."""
        i = bisect_right(self.starts, old - is_end) - 1
        if i < 0:
            return old
        before = self.shifts[i - 1] if i else 0
        if old >= self.ends[i]:
            return old + self.shifts[i]
        return self.ends[i] + self.shifts[i] if is_end else self.starts[i] + before


def redact_document(document: Document, found: Sequence[Found]) -> Document:
    """The document with placeholders in its text, blocks, definitions and metadata. Bytes still point into the file."""
    if not found:
        return document
    redaction = Redaction.of(document.text, found)
    words = {document.text[f.start : f.end]: placeholder(f.kind) for f in found}
    return replace(
        document,
        text=redaction.text,
        blocks=tuple(_block(b, redaction) for b in document.blocks),
        definitions=tuple(_definition(d, redaction, words) for d in document.definitions),
        metadata={key: _replaced(value, words) for key, value in document.metadata.items()},
    )


def without_blocks(document: Document, gone: Collection[int]) -> Document:
    """The document without some blocks, by their places among all; every other line keeps its number."""
    if not gone:
        return document
    text = document.text
    cut = [document.blocks[i] for i in sorted(gone)]
    redaction = Redaction.replaced(text, [(b.start, b.end, "\n" * text.count("\n", b.start, b.end)) for b in cut])
    left = (block for i, block in enumerate(document.blocks) if i not in gone)
    return replace(
        document,
        text=redaction.text,
        blocks=tuple(_block(block, redaction) for block in left),
        definitions=tuple(_definition(d, redaction, {}) for d in document.definitions),
    )


def _block(block: Block, redaction: Redaction) -> Block:
    start, end = redaction.place(block.start), redaction.place(block.end, is_end=True)
    return replace(block, text=redaction.text[start:end], start=start, end=end)


def _definition(definition: Definition, redaction: Redaction, words: Mapping[str, str]) -> Definition:
    return replace(
        definition,
        start=redaction.place(definition.start),
        end=redaction.place(definition.end, is_end=True),
        body_start=redaction.place(definition.body_start),
        signature=_replaced(definition.signature, words),
        docstring=_replaced(definition.docstring, words),
        enclosing=_replaced(definition.enclosing, words),
        head_start=redaction.place(definition.head_start),
    )


def _replaced(text: str, words: Mapping[str, str]) -> str:
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text
