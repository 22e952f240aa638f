"""Bytes to text: byte order mark, then UTF-8, then a guess that is written down beside the document."""

import codecs
from dataclasses import dataclass

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
