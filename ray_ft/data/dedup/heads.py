"""What is told of documents without their texts: enough to find duplicates and to draw splits."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ray_ft.data.dedup.edges import edges_of, folded, key_of
from ray_ft.data.dedup.minhash import signature
from ray_ft.data.dedup.shingles import rough_hashes, shingles
from ray_ft.data.dedup.splits import content_key
from ray_ft.data.documents import ReadFile, Record
from ray_ft.overlap import Runs, runs_of
from ray_ft.rows import Document

EDGE = np.dtype("<u8")
SECTION = np.dtype([("key", "<u8"), ("size", "<u4")])
MIN_SECTION_SIZE = 40  # characters of a section that is told again, some eight words
MIN_DEFINITION_SIZE = 16  # of a definition: `def __str__(self): return self.name` is one that comes again and again
MIN_QUESTION_WORDS = 3  # of a question that tells conversations apart; a greeting does not


class Head(NamedTuple):
    """What is told of a document without its text."""

    name: str
    key: str  # equal for equal content
    size: int  # characters
    is_file: bool
    is_usable: bool
    given: str = ""  # the split that its dataset gives
    signature: bytes = b""
    is_contaminated: bool = False
    sections: bytes = b""  # of a file: SECTION of each paragraph, table and definition
    structure: int = 0  # of a file: headings, lists, tables, pieces of code and definitions
    edges: bytes = b""  # of a file: EDGE of each short block that it begins or ends with
    thread: int = 0  # of a line: equal for conversations that begin alike, and for answers to one question


def heads_of(parsed: Sequence[ReadFile | Record], evaluation: Runs) -> tuple[Head, ...]:
    """What is told of each document."""
    return tuple(_record_head(p, evaluation) if isinstance(p, Record) else _file_head(p, evaluation) for p in parsed)


def text_of(parsed: ReadFile | Record) -> str:
    """All words of a document or of a line, as duplicates are told by."""
    if isinstance(parsed, ReadFile):
        return parsed.document.text if parsed.document else ""
    if parsed.text or not parsed.examples:
        return parsed.text
    example = parsed.examples[-1]
    return "\n".join([m.content for m in example.messages] or [example.prompt, example.completion])


def _file_head(read: ReadFile, evaluation: Runs) -> Head:
    if read.document is None:
        return Head(read.file.path, "", 0, True, False)
    text = read.document.text
    signed = signature(shingles(text))
    return Head(
        name=read.file.path,
        key=content_key(text),
        size=len(text),
        is_file=True,
        is_usable=True,
        signature=b"" if signed is None else signed.tobytes(),
        is_contaminated=evaluation.found_in(text),
        structure=sum(b.type != "paragraph" for b in read.document.blocks) + len(read.document.definitions),
        edges=np.array([edge.key for edge in edges_of(read.document)], dtype=EDGE).tobytes(),
        sections=np.array([(s.key, s.size) for s in sections_of(read.document)], dtype=SECTION).tobytes(),
    )


def _record_head(record: Record, evaluation: Runs) -> Head:
    """Lines of plain text have near duplicates as documents do; conversations share phrases without being any."""
    if record.reason:
        return Head(record.name, "", 0, False, False)
    signed = signature(shingles(record.text)) if record.text else None
    text = text_of(record)
    return Head(
        name=record.name,
        key=record.key,
        size=len(text),
        is_file=False,
        is_usable=True,
        given=record.split or "",
        signature=b"" if signed is None else signed.tobytes(),
        is_contaminated=evaluation.found_in(text),
        thread=_thread(record),
    )


def _thread(record: Record) -> int:
    """What a conversation begins with: its first question, with the answer and the next one where that says little.

    Lines that share it belong together: one may be the beginning of another, or answer the same anew.
    """
    if not record.examples:
        return 0
    example = record.examples[-1]
    turns = [m.content for m in example.messages if m.role != "system"] or [example.prompt, example.completion]
    # What is only completed has no question: two such lines have nothing but their text in common.
    for size, least in ((1, MIN_QUESTION_WORDS), (3, 0)):
        if turns[0] and len(turns) >= size:
            words = rough_hashes("\n".join(turns[:size]))
            if len(words) >= max(1, least):
                return int(runs_of(words, len(words))[0])
    return 0


class Section(NamedTuple):
    """A paragraph, list, table, piece of code or definition, by its characters without case and layout."""

    key: int
    size: int  # characters, without layout
    start: int  # characters of the document's text
    end: int


def sections_of(document: Document) -> list[Section]:
    """The sections of a document that are long enough to be known again; headings are none."""
    spans = [(b.start, b.end, MIN_SECTION_SIZE) for b in document.blocks if b.type != "heading"]
    spans += [(d.start, d.end, MIN_DEFINITION_SIZE) for d in document.definitions]
    found = []
    for start, end, least in spans:
        words = document.text[start:end]
        plain = folded(words)
        start, end = end - len(words.lstrip()), start + len(words.rstrip())
        if len(plain) >= least:
            found.append(Section(key_of(plain), len(plain), start, end))
    return found
