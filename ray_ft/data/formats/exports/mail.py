"""E-mail: messages under their subjects, without what they quote, their signatures and their attachments."""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage

from ray_ft.data.formats.assemble import Piece, assemble, pieces_of
from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.html import read_html
from ray_ft.data.formats.lightweight.markdown.parse import read_markdown

REPLY = re.compile(r"(?:re|fw|fwd|aw|wg|sv|vs|tr|rv|antw)(?:\[\d++\])?:\s*+", re.IGNORECASE)
INTRODUCES = re.compile(  # "On Monday, a person wrote:" in some languages
    r"(?:On|Am|Le|El|Il|Op|Den|W dniu|Em)\b.{0,200}"
    r"\b(?:wrote|schrieb.{0,80}|a écrit|escribió|ha scritto|schreef.{0,80}|skrev.{0,80}|napisał\(?a?\)?|escreveu)\s?:$",
    re.DOTALL,
)
FORWARDED = re.compile(
    r"(?<!-)-{2,}+\s?(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine)\s?-{2,}"
)
HEADERS_BELOW = re.compile(r"(?:From|Von|De|To|An|Sent|Gesendet|Date|Datum|Subject|Betreff|Cc):\s")
SIGNATURE = "-- "
FROM_LINE = re.compile(rb"^From [^\n]*\d{4}[^\n]*$", re.MULTILINE)
MAX_TITLE = 200


def parse_mail(data: bytes) -> Parsed:
    """One message: its subject as heading, then its words."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    whole, blocks = assemble(_message(message, page=0))
    return Parsed(whole, blocks, {"title": subject} if (subject := _subject(message)) else {})


def parse_mbox(data: bytes) -> Parsed:
    """Messages of a box in their order; those of one thread stand under one heading where they follow each other."""
    starts = [match.start() for match in FROM_LINE.finditer(data) if _begins(data, match.start())]
    pieces: list[Piece] = []
    last = ""
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(data)], strict=True), start=1):
        source = data[data.find(b"\n", start) + 1 : end].replace(b"\n>From ", b"\nFrom ")
        message = email.message_from_bytes(source, policy=email.policy.default)
        title = _subject(message)
        pieces += [
            piece for piece in _message(message, number) if piece.type != "heading" or title != last or not title
        ]
        last = title
    whole, blocks = assemble(pieces)
    return Parsed(whole, blocks)


def _begins(data: bytes, at: int) -> bool:
    """Whether a line that begins with `From ` opens a message: a blank line stands before it."""
    return at == 0 or data[max(0, at - 2) : at] == b"\n\n" or data[max(0, at - 4) : at] == b"\r\n\r\n"


def _subject(message: EmailMessage) -> str:
    """The subject without the marks of replies; "" where it has none or none that can be read."""
    try:
        words = " ".join(str(message["subject"] or "").split())
    except (ValueError, LookupError, AttributeError, IndexError, TypeError):  # of the library's, on broken headers
        return ""
    while (match := REPLY.match(words)) is not None:
        words = words[match.end() :]
    return words[:MAX_TITLE]


def _message(message: EmailMessage, page: int) -> Iterator[Piece]:
    title = _subject(message)
    if title:
        yield Piece("heading", title, 1, page)
    text, is_html = _body(message)
    blocks = read_html(text).blocks if is_html else read_markdown(_written(text)).blocks
    yield from pieces_of(blocks, page=page, deeper=1)


def _body(message: EmailMessage) -> tuple[str, bool]:
    """The words of a message, plain if it has them so, and whether they are HTML."""
    try:
        part = message.get_body(preferencelist=("plain", "html"))
    except (ValueError, LookupError, AttributeError, KeyError):
        part = None
    if part is None:
        return "", False
    data = part.get_payload(decode=True)
    raw = data if isinstance(data, bytes) else b""
    try:
        text = raw.decode(part.get_content_charset() or "utf-8")
    except (UnicodeDecodeError, LookupError):
        text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n"), part.get_content_type() == "text/html"


def _written(text: str) -> str:
    """What the sender wrote: without quoted lines, what introduces them, forwarded headers, and the signature."""
    kept: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line in (SIGNATURE, "--") or FORWARDED.search(line):
            break
        if HEADERS_BELOW.match(line) and sum(bool(HEADERS_BELOW.match(row)) for row in lines[number : number + 4]) >= 3:
            break
        if line.startswith(">"):
            _drop_introduction(kept)
            continue
        kept.append(line)
    return "\n".join(kept)


def _drop_introduction(kept: list[str]) -> None:
    """Take away the last lines where they say who wrote what is quoted next."""
    end = len(kept)
    while end and not kept[end - 1].strip():
        end -= 1
    for size in (1, 2, 3):
        if end >= size and INTRODUCES.match("\n".join(kept[end - size : end]).strip()):
            del kept[end - size :]
            return
