"""What parsing has made so far, document by document, so that no death of a process costs more than the one at hand.

Every task appends to a file of its own: a note when it begins a document, the document when it is done. A torn end, as
a killed process leaves it, is not read. Nothing is ever changed: what one run wrote, the next ones take as it is.

A journal may lie in a folder that others can write, so what is read from it is data of a known type and nothing else
(`typed`); what an earlier version wrote in another form is as if it were not there.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ray_ft.data.run.typed import Malformed, dump, load
from ray_ft.errors import DataError
from ray_ft.storage import MissingObject, Store, is_uri, shown

Kind = TypeVar("Kind")

FRAME = struct.Struct("<4sB32sIIII")  # mark, kind, key, bytes of head, body, body unpacked, checksum of key and head
MARK = b"rft2"
BEGIN, DONE = 0, 1
LEVEL = 1  # of zstd; the bodies are texts, read once or twice


@dataclass(frozen=True)
class Ref:
    """Where a finished document lies."""

    journal: str
    offset: int
    num_bytes: int  # as compressed
    full_bytes: int
    head_bytes: int = 0  # of what is told of it, which lies just before


@dataclass(frozen=True)
class Entry:
    """One line of a journal; `ref` is None and `head` empty where work on the key began, as `run` noted."""

    key: bytes
    head: bytes = b""  # as it was written
    ref: Ref | None = None
    run: str = ""

    def head_as(self, kind: type[Kind]) -> Kind | None:
        """What is told of the document; None where it is not of the type, so that nobody wrote it for this reader."""
        try:
            return load(kind, self.head)
        except Malformed:
            return None


class Journal:
    """A new journal, beside those that tasks with the same name left."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1_000_000):
            path = folder / f"{name}.{number}.log"
            try:
                # Unbuffered and in one write a frame: what was written outlives the process.
                self.stream = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
                break
            except FileExistsError:
                continue
        self.path = path

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.stream)

    def begin(self, key: bytes, run: str) -> None:
        """Note that work on a key begins."""
        self._append(BEGIN, key, run.encode())

    def done(self, key: bytes, head: Any, body: Any) -> None:
        """Keep what became of a key: `head` is read by all who look through the journal, `body` by who needs it."""
        import pyarrow as pa

        raw = dump(body)
        packed = pa.Codec("zstd", LEVEL).compress(raw, asbytes=True)
        self._append(DONE, key, dump(head), packed, len(raw))

    def copy(self, entry: Entry) -> None:
        """Keep what another journal holds, as it is."""
        assert entry.ref is not None
        self._append(DONE, entry.key, entry.head, packed_body(entry.ref), entry.ref.full_bytes)

    def flush(self) -> None:
        """See to it that others find what was appended, as they do in a file at once."""

    def _append(self, kind: int, key: bytes, head: bytes, body: bytes = b"", full_bytes: int = 0) -> None:
        view = memoryview(frame_of(kind, key, head, body, full_bytes) + head + body)
        while view:
            try:
                view = view[os.write(self.stream, view) :]
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None


def frame_of(kind: int, key: bytes, head: bytes, body: bytes, full_bytes: int) -> bytes:
    """What stands before a head and a body."""
    return FRAME.pack(MARK, kind, key, len(head), len(body), full_bytes, zlib.crc32(key + head))


def read_journal(path: Path, place: str = "") -> Iterator[Entry]:
    """The whole entries of a journal, in order; bodies stay where they are: in the file, or at another place."""
    size = path.stat().st_size
    offset = 0
    with path.open("rb") as stream:
        while len(raw := stream.read(FRAME.size)) == FRAME.size:
            mark, kind, key, head_bytes, body_bytes, full_bytes, checksum = FRAME.unpack(raw)
            if mark != MARK:
                return  # a torn end, or an earlier version's
            head = stream.read(head_bytes)
            body = offset + FRAME.size + head_bytes
            offset = body + body_bytes
            if offset > size or zlib.crc32(key + head) != checksum:
                return  # a torn end
            if kind == BEGIN:
                yield Entry(key, run=head.decode("utf-8", "replace"))
            else:
                yield Entry(key, head, Ref(place or str(path), body, body_bytes, full_bytes, head_bytes))
            stream.seek(offset)


def read_body(ref: Ref, kind: type[Kind], packed: bytes | None = None) -> Kind:
    """What was kept for a key, `packed` where it was read already. Raises DataError where it is not of the type."""
    import pyarrow as pa

    try:
        packed = packed_body(ref) if packed is None else packed
        return load(kind, pa.Codec("zstd").decompress(packed, ref.full_bytes, asbytes=True))
    except (OSError, ValueError, MissingObject) as error:  # pyarrow's are among them
        raise _damaged(ref, error) from None


def read_head(ref: Ref, kind: type[Kind], told: bytes | None = None) -> Kind:
    """What is told of a document, `told` where it was read already. Raises DataError where it is not of the type."""
    try:
        told = _bytes_of(ref.journal, ref.offset - ref.head_bytes, ref.head_bytes) if told is None else told
        return load(kind, told)
    except (OSError, Malformed, MissingObject) as error:
        raise _damaged(ref, error) from None


def packed_body(ref: Ref) -> bytes:
    """What was kept for a key, as it lies there."""
    return _bytes_of(ref.journal, ref.offset, ref.num_bytes)


def _bytes_of(journal: str, offset: int, size: int) -> bytes:
    if is_uri(journal):
        return Store(journal).read("", offset, offset + size)
    with Path(journal).open("rb") as stream:
        stream.seek(offset)
        return stream.read(size)


def _damaged(ref: Ref, error: Exception) -> DataError:
    what = str(error).strip().split("\n")[0]
    return DataError(f"{shown(ref.journal)} is damaged ({what}); delete it and run prepare again")
