"""Bytes to text and back: by the byte order mark, as UTF-8, or by a guess that is told beside the document.

A file that is UTF-8 but for a few bytes is read as UTF-8, and these bytes by themselves.
"""

import codecs
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ray_ft.data.documents import GUESSED, IN_UTF8
from ray_ft.data.filters.unmarked import unmarked_utf
from ray_ft.data.formats.base import Lines
from ray_ft.data.ingest.encodings.guess import MAX_SAMPLE, WIDER, Guess, guess, sample_of
from ray_ft.data.ingest.encodings.letters import is_usual
from ray_ft.rows import Block

MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
REMOVED = re.compile("\r(?=\n)|\0")  # by `decode`
CODECS = {"utf-8-sig": "utf-8"}
WITH_MARK = {
    codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be",
}  # fmt: skip
ESCAPES = "surrogateescape"  # each byte that is wrong stands for itself, as half of a character
HALF = re.compile("[\udc80-\udcff]")
JAPANESE_MAIL = (b"\x1b$B", b"\x1b(")  # how two bytes to a character begin and end
WORD = re.compile(rb"[A-Za-z\x80-\xff]++")
DECLARED = re.compile(
    rb"^[ \t]{0,40}[<#%/;*@.-][^\n]{0,200}?(?:charset|coding)\s{0,2}[:=]\s{0,2}[\"']?([A-Za-z][\w.-]{1,30})",
    re.MULTILINE,
)
ASCII = bytes(range(32, 127))
DECLARED_WITHIN = 1024  # bytes from the start
MAX_WRONG_SHARE = 0.02  # of the bytes beyond ASCII, in a file of an encoding that was guessed
UTF8_PRIOR = 12.0  # nats against a file of two encodings
UTF8_LETTER, UTF8_WIDER, UTF8_ODD = -3.0, -5.0, -12.0  # nats for each of its characters
NOT_ASCII = bytes(range(128, 256))


@dataclass(frozen=True)
class Decoded:
    """Text with newlines as \\n, and the encoding it was in; or the reason why it is no text.

    `note` says what was guessed, and what is not sure; "" for text that is in the encoding it says it is.
    """

    text: str
    encoding: str
    reason: str = ""
    note: str = ""


NO_TEXT = Decoded("", "", "invalid encoding")


def decode(data: bytes) -> Decoded:
    """Decode a file that is not binary. Never raises."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _strict(data, encoding) or (_repaired(data, encoding) if encoding == "utf-8-sig" else NO_TEXT)
    if encoding := unmarked_utf(data):
        return _strict(data, encoding, _guessed_note(encoding)) or NO_TEXT
    if all(mark in data for mark in JAPANESE_MAIL) and (found := _strict(data, "iso2022_jp")):
        return replace(found, note=_guessed_note("iso2022_jp"))
    return _strict(data, "utf-8") or _declared(data) or _guessed(data)


def _strict(data: bytes, encoding: str, note: str = "") -> Decoded | None:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    return Decoded(_plain(text), encoding, note=note)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _declared(data: bytes) -> Decoded | None:
    """By what the file itself says of its encoding, where all of it is in that."""
    match = DECLARED.search(data[:DECLARED_WITHIN])
    if match is None:
        return None
    name = match.group(1).decode().lower()
    try:
        if ASCII.decode(name) != ASCII.decode():  # no encoding of bytes: these would not be there to be read
            return None
        name = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return _strict(data, "cp1252" if name == "iso8859-1" else name)


def _guessed(data: bytes) -> Decoded:
    """As UTF-8 with some other bytes among it, or by a guess: whichever makes the bytes more likely."""
    sample = sample_of(data)
    best = guess(sample, whole=len(sample) == len(data))
    words, others = _sorted_words(sample)
    if words:
        alone = guess(others, wide=False)
        if sum(map(_utf8_log, words)) + alone.score - UTF8_PRIOR > best.score:
            return _repaired(data, "utf-8")
    return _read_as(data, best)


def _read_as(data: bytes, best: Guess) -> Decoded:
    """By a guess; a few bytes that are wrong, such as half a character at the end, are replaced."""
    note = _guessed_note(best.encoding) + (f", which could be {best.rival}" if best.rival else "")
    for name in (best.encoding, WIDER.get(best.encoding, best.encoding)):
        if found := _strict(data, name, note):
            return found
    text = data.decode(name, ESCAPES)
    num_wrong = len(HALF.findall(text))
    if num_wrong > 1 + MAX_WRONG_SHARE * (len(data) - len(data.translate(None, NOT_ASCII))):
        return NO_TEXT
    return Decoded(_plain(HALF.sub("\ufffd", text)), name, note=f"{note}; {_count(num_wrong)} in it replaced")


def _guessed_note(encoding: str) -> str:
    return f"{GUESSED}{encoding}"


def _count(num_bytes: int) -> str:
    return f"{num_bytes:,} wrong byte{'s' if num_bytes != 1 else ''}"


def _sorted_words(data: bytes) -> tuple[list[str], bytes]:
    """The characters beyond ASCII of the words that are UTF-8, and the words that are not."""
    words = [word for word in WORD.findall(data) if not word.isascii()]
    texts = {word: _utf8_word(word) for word in words}
    valid = [c for word in words for c in texts[word] or "" if c > "\x7f" and not "\udc80" <= c <= "\udcff"]
    return valid, b" ".join(word for word in words if texts[word] is None)


def _utf8_word(word: bytes) -> str | None:
    """A word as UTF-8; None where most of it is not."""
    text = word.decode("utf-8", ESCAPES)
    wrong = len(HALF.findall(text))
    return None if wrong and wrong >= sum(c > "\x7f" for c in text) - wrong else text


def _utf8_log(character: str) -> float:
    """How likely a character is in a text of any language, in nats."""
    if unicodedata.category(character)[0] == "C" and character not in "\u200b\u200c\u200d\u200e\u200f\ufeff":
        return UTF8_ODD
    return UTF8_WIDER if character >= "\u0800" else UTF8_LETTER if is_usual(character) else UTF8_ODD


def _repaired(data: bytes, encoding: str) -> Decoded:
    """UTF-8 whose other words are read in the encoding that they are likely to be in; what else is wrong is lost."""
    data = data.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8-sig" else data
    others = [data[start:end] for start, end in _other_words(data)]
    other = guess(b" ".join(others)[:MAX_SAMPLE], wide=False).encoding if others else ""
    raw = _raw(data, "utf-8")
    shown = HALF.sub("\ufffd", _mixed(data, other, "replace"))
    num_lost = shown.count("\ufffd") - raw.count("\ufffd")
    num_read = len(HALF.findall(raw)) - num_lost
    told = [f"{_count(num_read)} {IN_UTF8} read as {other}"] if num_read else []
    told += [f"{_count(num_lost)} {IN_UTF8} replaced"] if num_lost else []
    return Decoded(_plain(shown), encoding, note=", ".join(told))


def _raw(data: bytes, codec: str) -> str:
    """The text with half of a character for each byte that is not in the encoding, so that it leads back to bytes."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return _mixed(data, "ascii", ESCAPES) if codec == "utf-8" else data.decode(codec, ESCAPES)


def _mixed(data: bytes, other: str, errors: str) -> str:
    """UTF-8, and the words that are not in another encoding: a character for each of their bytes."""
    parts: list[str] = []
    position = 0
    for start, end in _other_words(data):
        parts += [data[position:start].decode("utf-8", ESCAPES), data[start:end].decode(other, errors)]
        position = end
    return "".join([*parts, data[position:].decode("utf-8", ESCAPES)])


def _other_words(data: bytes) -> list[tuple[int, int]]:
    words = (match for match in WORD.finditer(data) if not match.group().isascii())
    return [match.span() for match in words if _utf8_word(match.group()) is None]


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
    raw = _raw(data[len(mark) :], codec)
    encoder = codecs.getincrementalencoder(codec)(ESCAPES)  # some encodings have states
    removed = [match.start() - i for i, match in enumerate(REMOVED.finditer(raw))]  # places in the text, not in raw

    def start_in_raw(place: int) -> int:
        return place + bisect_right(removed, place)

    def end_in_raw(place: int) -> int:
        return place + bisect_left(removed, place)

    raw_spans = [(start_in_raw(start), end_in_raw(end)) for start, end in spans]
    bytes_at: dict[int, int] = {}
    position, num_bytes = 0, len(mark)
    for place in sorted({place for span in raw_spans for place in span}):
        num_bytes += len(encoder.encode(raw[position:place]))
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
