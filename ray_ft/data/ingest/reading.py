"""Reads one file into a Document, or into the reason why it is none: bytes to text, text to blocks, blocks to bytes.

What is listed at all is listing.py's. Text is read by its byte order mark, as UTF-8, or by a guess that is written down
beside the document.
"""

import codecs
import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.filters.rules import dropped_by_bytes, dropped_by_text
from ray_ft.data.formats import Format, format_of
from ray_ft.data.formats.base import Lines, Parsed, Unreadable
from ray_ft.data.formats.text import parse_lines
from ray_ft.data.ingest.sandbox import CHILD, OUT_OF_MEMORY, Limits, ParserError
from ray_ft.data.sources import read_bytes
from ray_ft.rows import Block, Document

MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WESTERN = frozenset(
    {"cp1250", "cp1252", "cp1254", "cp1257", "latin_1", "iso8859_15", "iso8859_9", "iso8859_2", "mac_roman"}
)
MAX_GUESSED_BYTES = 65_536  # of a file, for the guess; the whole file is then decoded
REMOVED = re.compile("\r(?=\n)|\0")  # by `decode`
CODECS = {"utf-8-sig": "utf-8"}
WITH_MARK = {
    codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be",
}  # fmt: skip


def read_file(file: SourceFile, limits: Limits = Limits()) -> ReadFile:  # noqa: B008 - it is frozen
    """Read, decode, filter and parse one file. Never raises: what cannot be used comes back with its reason."""
    if file.reason:
        return ReadFile(file, "skipped", file.reason)
    try:
        data = read_bytes(file.kind, file.location)
    except OSError as error:
        return ReadFile(file, "skipped", f"unreadable: {error.strerror or error}")
    sha256 = hashlib.sha256(data).hexdigest()
    file = replace(file, num_bytes=len(data))  # it may have changed since it was listed
    kind = format_of(file.path)
    reason = dropped_by_bytes(data)
    if kind is None or (reason and not (kind.is_binary and reason == "binary")):
        return ReadFile(file, "skipped", reason or "unknown format", sha256=sha256)
    return replace(_read_content(file, data, kind, sha256[:16], limits), sha256=sha256)


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


def parse(source: Any, kind: Format, limits: Limits = Limits()) -> tuple[Parsed, str]:  # noqa: B008 - it is frozen
    """Parse a text, or the bytes of a binary format; the note says what did not go well, else it is "".

    A text that its parser cannot take is read as plain lines. Raises Unreadable for what gives no document.
    """
    try:
        parsed = kind.parse(source) if _is_safe(source, kind) else CHILD.parse(kind.parse, source, limits)
        return parsed, f"{kind.name}: parts do not parse" if "syntax" in parsed.metadata else ""
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable(OUT_OF_MEMORY, f"more than {limits.memory_bytes / 2**30:g} GiB", broken=True) from None
    except Exception as error:  # parsers of others fail in ways of their own; one file must not end the job
        name = error.kind if isinstance(error, ParserError) else type(error).__name__
        if not kind.is_text:
            raise Unreadable("damaged", f"{name}: {error}"[:300], broken=True) from None
        return parse_lines(source), f"read as text: {kind.name} parser: {name}"


def _is_safe(source: Any, kind: Format) -> bool:
    """Whether a parser may run in this process: neither can it take long, nor can it crash as native code may."""
    if kind.is_binary or len(source) > kind.max_here:
        return False
    return kind.max_tags_here > len(source) or source.count("<") <= kind.max_tags_here


# --- bytes to text, and back ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decoded:
    """Text with newlines as \\n, and the encoding it was in; or the reason why it is no text."""

    text: str
    encoding: str
    reason: str = ""


def decode(data: bytes) -> Decoded:
    """Decode a file that is not binary. Never raises."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _strict(data, encoding) or Decoded("", "", "invalid encoding")
    return _strict(data, "utf-8") or _guessed(data) or Decoded("", "", "invalid encoding")


def _strict(data: bytes, encoding: str) -> Decoded | None:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    return Decoded(text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""), encoding)


def _guessed(data: bytes) -> Decoded | None:
    """By charset-normalizer. It takes cp1252 for its neighbours, so every Western answer is read as cp1252."""
    from charset_normalizer import from_bytes

    best = from_bytes(data[:MAX_GUESSED_BYTES]).best()
    if best is None:
        return None
    if best.encoding in WESTERN:
        return _strict(data, "cp1252") or _strict(data, best.encoding)
    return _strict(data, best.encoding)


def with_bytes(blocks: Iterable[Block], data: bytes, encoding: str, decoded: str, shown: str) -> tuple[Block, ...]:
    """The blocks with their bytes in the file.

    Where the parser shows the text as it stands, these are exact. Where it rewrites within lines, they are those of
    the whole lines. Where it makes a text of its own, the blocks stay as they are.
    """
    blocks = tuple(blocks)
    if shown is decoded or shown == decoded:
        spans = [(b.start, b.end) for b in blocks]
    elif shown.count("\n") == decoded.count("\n"):
        lines = Lines(decoded)
        spans = [(lines.start(b.line_start - 1), lines.end(b.line_end - 1)) for b in blocks]
    else:
        return blocks
    found = byte_spans(data, encoding, spans)
    return tuple(replace(b, byte_start=s, byte_end=e) for b, (s, e) in zip(blocks, found, strict=True))


def byte_spans(data: bytes, encoding: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Bytes of spans of the text that `decode` makes of a file in an encoding."""
    if data.isascii() and b"\r" not in data and b"\0" not in data:
        return list(spans)
    mark, codec = _codec(data, encoding)
    raw = data[len(mark) :].decode(codec)
    removed = [match.start() - i for i, match in enumerate(REMOVED.finditer(raw))]  # places in the text, not in raw

    def start_in_raw(place: int) -> int:
        return place + bisect_right(removed, place)

    def end_in_raw(place: int) -> int:
        return place + bisect_left(removed, place)

    raw_spans = [(start_in_raw(start), end_in_raw(end)) for start, end in spans]
    bytes_at: dict[int, int] = {}
    position, num_bytes = 0, len(mark)
    for place in sorted({place for span in raw_spans for place in span}):
        num_bytes += len(raw[position:place].encode(codec))
        bytes_at[place] = num_bytes
        position = place
    return [(bytes_at[start], bytes_at[end]) for start, end in raw_spans]


def _codec(data: bytes, encoding: str) -> tuple[bytes, str]:
    """The mark that the file begins with, and the codec of what follows."""
    if encoding in ("utf-16", "utf-32"):
        for mark, codec in WITH_MARK.items():
            if data.startswith(mark) and codec.startswith(encoding):
                return mark, codec
    mark = codecs.BOM_UTF8 if encoding == "utf-8-sig" else b""
    return mark, CODECS.get(encoding, encoding)
