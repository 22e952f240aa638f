"""What is told of documents without their texts: enough to find duplicates and to draw splits."""

from collections.abc import Sequence
from typing import NamedTuple

from ray_ft.data.dedup.minhash import signature
from ray_ft.data.dedup.shingles import shingles
from ray_ft.data.dedup.splits import content_key
from ray_ft.data.documents import ReadFile, Record
from ray_ft.overlap import Runs


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
    )
