"""Lines of a dataset's file: where the file is cut, and each line by its number, none of them longer than is held."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ray_ft.data.sources.unpacked import OPENED, unpacked_stream

MAX_LINE_BYTES = 32 * 2**20  # of a line, or of a row of a table
TOO_LONG = f"longer than {MAX_LINE_BYTES >> 20} MiB"
CHUNK_BYTES = 2**20
PACKED = tuple(OPENED)


def packing_of(path: str | Path) -> str:
    """How a file of lines is packed, by its suffix; "" where it is not."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in PACKED else ""


def open_lines(path: str | Path, name: str) -> io.BufferedReader | IO[bytes]:
    """What a file of lines holds, unpacked. Reading raises as `unpacked_stream`; `name` is what messages call it."""
    packing = packing_of(path)
    return unpacked_stream(Path(path), packing, f"data.datasets: {name}") if packing else Path(path).open("rb")


class Cuts:
    """Where lines are cut into slices: (first byte, byte behind the last, number of the first line), in order.

    A slice ends with the line that fills it. `is_cut_short` once a packed file ended before its end.
    """

    def __init__(self, stream: IO[bytes], slice_bytes: int) -> None:
        self.stream, self.slice_bytes = stream, slice_bytes
        self.is_cut_short = False

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        start = base = 0
        first = number = 1
        while chunk := self._read():
            done = 0
            while (at := chunk.find(b"\n", max(start + self.slice_bytes - 1 - base, done))) >= 0:
                number += chunk.count(b"\n", done, at + 1)
                done = at + 1
                yield start, base + done, first
                start, first = base + done, number
            number += chunk.count(b"\n", done)
            base += len(chunk)
        if base > start or self.is_cut_short:
            yield start, base, first

    def _read(self) -> bytes:
        try:
            return read_some(self.stream)
        except EOFError:
            self.is_cut_short = True
            return b""


def read_some(stream: IO[bytes], most: int = CHUNK_BYTES) -> bytes:
    """The next bytes, as many as are at hand: those before a damaged place come before the error."""
    return stream.read1(most)  # type: ignore[attr-defined, no-any-return]


def numbered_lines(stream: IO[bytes], num_bytes: int, first: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Number, content, and bytes of each line in the next `num_bytes`; None for one that is longer than is held."""
    number = first
    while num_bytes > 0:
        line = stream.readline(min(num_bytes, MAX_LINE_BYTES + 1))
        size = len(line)
        if not line:
            return
        is_whole = line.endswith(b"\n") or size <= MAX_LINE_BYTES
        while not line.endswith(b"\n") and size < num_bytes:  # the rest of a long one
            line = stream.readline(min(num_bytes - size, CHUNK_BYTES))
            if not line:
                break
            size += len(line)
        yield number, line if is_whole else None, size
        num_bytes -= size
        number += 1
