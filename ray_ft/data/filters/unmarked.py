"""UTF-16 and UTF-32 without a byte order mark, told by what they hold: characters that texts are written in.

Without a mark they look like binary files, since most of them hold zero bytes.
"""

import unicodedata
from collections import Counter

LOOKED_AT = 4096  # bytes
MAX_ODD, MIN_USUAL = 0.01, 0.05  # of the characters: what no text holds, and spaces, ends of lines and ASCII letters
WIDTHS = (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2))
USUAL = frozenset("\n \u3000\u3001\u3002\uff0c")


def unmarked_utf(data: bytes) -> str:
    """The encoding of a text of two or four bytes to a character; "" for one of bytes, and for what is no text."""
    head = data[:LOOKED_AT]
    if b"\0" not in head or len(head) < 8:
        return ""
    usual = {encoding: _usual(head, encoding, width) for encoding, width in WIDTHS if len(data) % width == 0}
    best = max(usual, key=lambda encoding: usual[encoding], default="")
    return best if best and usual[best] >= MIN_USUAL else ""


def _usual(head: bytes, encoding: str, width: int) -> float:
    """The share of usual characters if this is the encoding, 0 where there are such as stand in no text."""
    try:
        text = head[: len(head) // width * width].decode(encoding)
    except UnicodeDecodeError as error:
        cut = error.start if error.start >= len(head) - 2 * width else 0  # the head may end inside of a pair
        text = head[:cut].decode(encoding)
    counts = Counter(text)
    odd = sum(n for c, n in counts.items() if unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\r\f\x1b")
    if not text or "\0" in counts or odd > MAX_ODD * len(text):
        return 0.0
    return sum(n for c, n in counts.items() if c in USUAL or (c.isascii() and c.isalnum())) / len(text)
