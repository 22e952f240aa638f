"""Files packed alone, such as `syslog.txt.gz`: their bytes, or why they are not unpacked."""

import bz2
import lzma
import zlib
from typing import Any

from ray_ft.data.formats.base import Unreadable

MAX_UNPACKED_BYTES = 64 * 2**20


def unpacked(data: bytes, suffix: str) -> bytes:
    """What a file packed by gzip, bzip2 or xz holds, all of its parts.

    Raises Unreadable for a damaged one, and for one that unpacks to more than MAX_UNPACKED_BYTES.
    """
    parts: list[bytes] = []
    room = MAX_UNPACKED_BYTES + 1
    try:
        while data and room > 0:
            stream = _stream(suffix)
            part = stream.decompress(data, room)
            parts.append(part)
            room -= len(part)
            if not stream.eof and room > 0:
                raise Unreadable("damaged", f"the {suffix} stream is cut short", broken=True)
            data = stream.unused_data
    except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
        raise Unreadable("damaged", f"{suffix}: {error}"[:200], broken=True) from None
    if room <= 0:
        raise Unreadable("unpacks to too much", f"more than {MAX_UNPACKED_BYTES >> 20} MiB", broken=False)
    return b"".join(parts)


def _stream(suffix: str) -> Any:
    """A decompressor of one stream."""
    if suffix == ".gz":
        return zlib.decompressobj(wbits=31)
    return bz2.BZ2Decompressor() if suffix == ".bz2" else lzma.LZMADecompressor(memlimit=256 * 2**20)
