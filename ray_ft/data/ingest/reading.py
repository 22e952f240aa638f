"""Reads one file into a Document, or into the reason why it is none: bytes to text, text to blocks, blocks to bytes.

What is listed at all is listing.py's; how bytes become text, that of encodings. A guess is written down beside the
document.
"""

import hashlib
import os
from dataclasses import replace
from typing import Any, Literal

from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.filters.rules import dropped_by_bytes, dropped_by_text
from ray_ft.data.formats import HEAD_BYTES, Format, format_by_text, format_of
from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.text import parse_lines
from ray_ft.data.ingest.encodings import Decoded, byte_spans, decode, with_bytes
from ray_ft.data.ingest.known import Stamp, opened, stamp_of, stamp_of_archive, unreadable
from ray_ft.data.ingest.packed import unpacked
from ray_ft.data.ingest.sandbox import CHILD, OUT_OF_MEMORY, Limits, ParserError
from ray_ft.data.sources import read_bytes
from ray_ft.rows import Document

__all__ = ["byte_spans", "decode", "parse", "read_file"]


def read_file(file: SourceFile, limits: Limits = Limits()) -> ReadFile:  # noqa: B008 - it is frozen
    """Read, decode, filter and parse one file. Never raises: what cannot be used comes back with its reason."""
    if file.reason:
        return ReadFile(file, "skipped", file.reason)
    try:
        data, stamp = _stamped_bytes(file)
    except OSError as error:
        return ReadFile(replace(file, stamp=()), "skipped", unreadable(error))
    sha256 = hashlib.sha256(data).hexdigest()
    file = replace(file, num_bytes=len(data), stamp=stamp)  # it may have changed since it was listed
    kind = format_of(file.path, data[:HEAD_BYTES])
    if kind is not None and kind.packed:
        try:
            data = unpacked(data, kind.packed)
        except Unreadable as why:
            return ReadFile(file, "quarantined" if why.broken else "skipped", why.reason, why.note, sha256=sha256)
    reason = dropped_by_bytes(data)
    if kind is None or (reason and not (kind.is_binary and reason == "binary")):
        return ReadFile(file, "skipped", reason or "unknown format", sha256=sha256)
    return replace(_read_content(file, data, kind, sha256[:16], limits), sha256=sha256)


def _stamped_bytes(file: SourceFile) -> tuple[bytes, Stamp]:
    """The bytes of a file and its stamp, () where it changed meanwhile.

    Raises OSError, also for a link that took the place of a listed file.
    """
    if file.kind:
        before = stamp_of_archive(file.location) if file.stamp else ()
        data = read_bytes(file.kind, file.location)
        return data, before if file.stamp and stamp_of_archive(file.location) == before else ()
    with opened(file.location) as stream:
        before = stamp_of(os.fstat(stream.fileno()))
        data = stream.read()
        return data, before if stamp_of(os.fstat(stream.fileno())) == before else ()


def _read_content(file: SourceFile, data: bytes, kind: Format, content_id: str, limits: Limits) -> ReadFile:
    """The document that the bytes hold."""
    decoded = Decoded("", "") if kind.is_binary else decode(data)
    kind = kind if kind.is_binary else format_by_text(kind, file.path, decoded.text)
    reason = "" if kind.is_binary else decoded.reason or dropped_by_text(decoded.text, kind.language)
    if reason:
        return ReadFile(file, "skipped", reason, encoding=decoded.encoding)
    try:
        parsed, note = parse(data if kind.is_binary else decoded.text, kind, limits)
    except Unreadable as why:
        status: Literal["skipped", "quarantined"] = "quarantined" if why.broken else "skipped"
        return ReadFile(file, status, why.reason, why.note, decoded.encoding)
    if not parsed.text.strip():
        return ReadFile(file, "skipped", "no text", encoding=decoded.encoding)
    language = kind.language or parsed.language
    if parsed.language and (reason := dropped_by_text(decoded.text, language)):
        return ReadFile(file, "skipped", reason, encoding=decoded.encoding)
    blocks = parsed.blocks
    if not kind.is_binary:
        blocks = with_bytes(blocks, data, decoded.encoding, decoded.text, parsed.text)
    document = Document(
        id=f"{content_id}:{file.path}",
        text=parsed.text,
        path=file.path,
        format=kind.name,
        language=language,
        blocks=blocks,
        metadata=parsed.metadata,
        definitions=parsed.definitions,
    )
    note = "; ".join(part for part in (decoded.note, note) if part)
    return ReadFile(file, "ok", "", note, decoded.encoding, document=document)


def parse(source: Any, kind: Format, limits: Limits = Limits()) -> tuple[Parsed, str]:  # noqa: B008 - it is frozen
    """Parse a text, or the bytes of a binary format; the note says what did not go well, else it is "".

    A text that its parser cannot take is read as plain lines. Raises Unreadable for what gives no document.
    """
    try:
        parsed = kind.parse(source) if _is_safe(source, kind) else CHILD.parse(kind.parse, source, limits)
        return parsed, _note_of(parsed, kind)
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable(OUT_OF_MEMORY, f"more than {limits.memory_bytes / 2**30:g} GiB", broken=True) from None
    except Exception as error:  # parsers of others fail in ways of their own; one file must not end the job
        name = error.kind if isinstance(error, ParserError) else type(error).__name__
        if not kind.is_text:
            raise Unreadable("damaged", f"{name}: {error}"[:300], broken=True) from None
        return parse_lines(source), f"read as text: {kind.name} parser: {name}"


def _note_of(parsed: Parsed, kind: Format) -> str:
    if "need_ocr" in parsed.metadata:
        return f"{parsed.metadata['need_ocr']} of {parsed.metadata['pages']} pages need OCR"
    return f"{kind.name}: parts do not parse" if "syntax" in parsed.metadata else ""


def _is_safe(source: Any, kind: Format) -> bool:
    """Whether a parser may run in this process: neither can it take long, nor can it crash as native code may."""
    if kind.is_binary or len(source) > kind.max_here:
        return False
    return kind.max_tags_here > len(source) or source.count("<") <= kind.max_tags_here
