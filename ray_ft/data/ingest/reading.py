"""Reads one file into a Document, or into the reason why it is none; what is listed at all is listing.py's."""

import hashlib
from dataclasses import replace
from typing import Literal

from ray_ft.data.documents import ReadFile, SourceFile, read_bytes
from ray_ft.data.filters.rules import dropped_by_bytes, dropped_by_text
from ray_ft.data.formats import Format, format_of
from ray_ft.data.formats.base import Unreadable
from ray_ft.data.ingest.byte_offsets import with_bytes
from ray_ft.data.ingest.decode import Decoded, decode
from ray_ft.data.ingest.sandbox import Limits, parse
from ray_ft.rows import Document


def read_file(file: SourceFile, limits: Limits = Limits()) -> ReadFile:  # noqa: B008 - it is frozen
    """Read, decode, filter and parse one file. Never raises: what cannot be used comes back with its reason."""
    if file.reason:
        return ReadFile(file, "skipped", file.reason)
    try:
        data = read_bytes(file)
    except OSError as error:
        return ReadFile(file, "skipped", f"unreadable: {error.strerror or error}")
    content_id = hashlib.sha256(data).hexdigest()[:16]
    kind = format_of(file.path)
    reason = dropped_by_bytes(data)
    if kind is None or (reason and not (kind.is_binary and reason == "binary")):
        return ReadFile(file, "skipped", reason or "unknown format", content_id=content_id)
    return replace(_read_content(file, data, kind, content_id, limits), content_id=content_id)


def _read_content(file: SourceFile, data: bytes, kind: Format, content_id: str, limits: Limits) -> ReadFile:
    """The document that the bytes hold."""
    decoded = Decoded("", "") if kind.is_binary else decode(data)
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
    blocks = parsed.blocks
    if not kind.is_binary:
        blocks = with_bytes(blocks, data, decoded.encoding, decoded.text, parsed.text)
    document = Document(
        id=f"{content_id}:{file.path}",
        text=parsed.text,
        path=file.path,
        format=kind.name,
        language=kind.language,
        blocks=blocks,
        metadata=parsed.metadata,
        definitions=parsed.definitions,
    )
    return ReadFile(file, "ok", "", note, decoded.encoding, document=document)
