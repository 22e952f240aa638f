"""From places in a document's text back to the bytes of its file."""

import codecs
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ray_ft.data.formats.base import Lines
from ray_ft.rows import Block

REMOVED = re.compile("\r(?=\n)|\0")  # by `decode`
CODECS = {"utf-8-sig": "utf-8"}
WITH_MARK = {
    codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be",
}  # fmt: skip


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
