"""What Office files share: they are zip archives, which may be encrypted, damaged, or bombs."""

import io
import zipfile
from collections.abc import Iterable, Sequence

from ray_ft.data.formats.base import Unreadable

MAX_MEMBERS, MAX_UNPACKED_BYTES, MAX_RATIO = 10_000, 512 * 2**20, 100
SMALL_BYTES = 16 * 2**20  # unpacked; repetitive documents of this size may well be packed a hundredfold
OLE_MAGIC = b"\xd0\xcf\x11\xe0"  # what Office wraps encrypted files in, and its formats before 2007


def check_archive(data: bytes) -> None:
    """Raise Unreadable for what must not be opened, from the table of contents alone."""
    if data.startswith(OLE_MAGIC):
        encrypted = b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0" in data
        raise Unreadable("encrypted" if encrypted else "Office format before 2007")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise Unreadable("damaged", str(error), broken=True) from None
    check_sizes([(m.file_size, m.compress_size) for m in members])


def check_sizes(members: Sequence[tuple[int, int]]) -> None:
    """Raise Unreadable for an archive of too much; `members` are (unpacked, packed) bytes."""
    unpacked, packed = sum(m[0] for m in members), sum(m[1] for m in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
        raise Unreadable("archive bomb", f"{len(members):,} members, {unpacked / 2**20:,.0f} MiB", broken=True)
    if unpacked > SMALL_BYTES and unpacked > MAX_RATIO * max(packed, 1):
        raise Unreadable("archive bomb", f"{unpacked / max(packed, 1):,.0f} times its size", broken=True)


def row_text(cells: Iterable[object]) -> str:
    """A row as `a | b`, each cell on one line; "" when all are empty."""
    words = [" ".join(str(cell).split()) if cell is not None else "" for cell in cells]
    while words and not words[-1]:
        words.pop()
    return " | ".join(words)
