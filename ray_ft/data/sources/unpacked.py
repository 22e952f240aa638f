"""What gzip, bzip2, xz and Zstandard packed, as a stream that is read once and never whole; a bomb ends it.

Of a file that is cut short, what stands before is right. Of one that holds wrong bytes nothing can be taken: most of
them are noticed by a checksum alone, and that stands behind everything.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ray_ft.errors import DataError, first_line

MAX_RATIO, SMALL_BYTES = 100, 2**30  # what unpacks to more than both is a bomb
BUFFER_BYTES, READ_BYTES = 2**18, 2**16
XZ_MEMORY = 256 * 2**20  # that a file may have the decompressor take


def unpacked_stream(path: Path, suffix: str, what: str) -> IO[bytes]:
    """What a file holds that is packed as the suffix says; `what` names it where it is a bomb.

    Raises EOFError where it is cut short, OSError where the disk fails, and DataError for wrong bytes and for a bomb.
    """
    packed = path.stat().st_size
    return io.BufferedReader(_Counted(OPENED[suffix](path), what, packed), BUFFER_BYTES)


def go_to(stream: IO[bytes], place: int) -> None:
    """Go forward in a stream, which may have to be read for that."""
    if stream.seekable():
        stream.seek(place)
        return
    while place > 0 and (chunk := stream.read(min(place, BUFFER_BYTES))):
        place -= len(chunk)


def refuse_bomb(what: str, unpacked: int, packed: int) -> None:
    """Raise DataError for what unpacks to so much."""
    if unpacked > SMALL_BYTES and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"{what} unpacks to more than {MAX_RATIO} times its size, as archive bombs do; "
            "unpack it yourself if it is meant to"
        )


class _Counted(io.RawIOBase):
    """A stream that counts what it gave, and fails alike whatever it is packed by."""

    def __init__(self, stream: Any, what: str, packed: int) -> None:
        self.stream, self.what, self.packed, self.num_bytes = stream, what, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            size = int(self.stream.readinto(buffer) or 0)
        except EOFError:
            raise
        except (zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            if "Truncated" in str(error):  # Arrow's
                raise EOFError("it ends early") from None
            raise DataError(f"{self.what} cannot be unpacked: {first_line(error)}") from None
        self.num_bytes += size
        refuse_bomb(self.what, self.num_bytes, self.packed)
        return size

    def close(self) -> None:
        self.stream.close()
        super().close()


class _Blocks(io.RawIOBase):
    """One packed stream after another. Python's own objects are slower, and xz's takes what memory a file wants."""

    def __init__(self, path: Path, new: Callable[[], Any]) -> None:
        self.file, self.new = path.open("rb"), new
        self.block = new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            raw = b""
            if self.block.eof:
                raw = self.block.unused_data.lstrip(b"\0") or self.file.read(READ_BYTES).lstrip(b"\0")
                if not raw:
                    return 0
                self.block = self.new()
            elif self.block.needs_input:
                raw = self.file.read(READ_BYTES)
            data = self.block.decompress(raw, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not raw and self.block.needs_input and not self.block.eof:
                raise EOFError("it ends early")

    def close(self) -> None:
        self.file.close()
        super().close()


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self.stream = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self.stream.decompress(self.stream.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self.stream.eof

    @property
    def needs_input(self) -> bool:
        return not self.stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self.stream.unused_data


def _open_zst(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


OPENED: dict[str, Callable[[Path], Any]] = {
    ".gz": lambda path: _Blocks(path, _Gzip),
    ".bz2": lambda path: _Blocks(path, bz2.BZ2Decompressor),
    ".xz": lambda path: _Blocks(path, lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY)),
    ".zst": _open_zst,
}
"""By suffix."""
