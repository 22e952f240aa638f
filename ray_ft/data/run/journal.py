"""What parsing has made so far, document by document, so that no death of a process costs more than the one at hand.

Every task appends to a file of its own: a note when it begins a document, the document when it is done. A torn end, as
a killed process leaves it, is not read. Nothing is ever changed: what one run wrote, the next ones take as it is.
"""

import os
import pickle
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

KEY_BYTES = 32
FRAME = struct.Struct("<4sB32sIII")  # mark, kind, key, bytes of head and of body, checksum of key and head
MARK = b"rftj"
BEGIN, DONE = 0, 1
LEVEL = 1  # of zstd; the bodies are texts, read once or twice


@dataclass(frozen=True)
class Ref:
    """Where a finished document lies."""

    journal: str
    offset: int
    num_bytes: int  # as compressed
    full_bytes: int


@dataclass(frozen=True)
class Entry:
    """One line of a journal; `ref` and `head` are None where work on the key began, as `run` noted."""

    key: bytes
    head: Any = None
    ref: Ref | None = None
    run: str = ""


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
        self._append(BEGIN, key, run.encode(), b"")

    def done(self, key: bytes, head: Any, body: Any) -> None:
        """Keep what became of a key: `head` is read by all who look through the journal, `body` by who needs it."""
        import pyarrow as pa

        raw = pickle.dumps(body, protocol=5)
        packed = pa.Codec("zstd", LEVEL).compress(raw, asbytes=True)
        self._append(DONE, key, pickle.dumps((len(raw), head), protocol=5), packed)

    def _append(self, kind: int, key: bytes, head: bytes, body: bytes) -> None:
        frame = FRAME.pack(MARK, kind, key, len(head), len(body), zlib.crc32(key + head)) + head + body
        view = memoryview(frame)
        while view:
            try:
                view = view[os.write(self.stream, view) :]
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from None


def read_journal(path: Path) -> Iterator[Entry]:
    """The whole entries of a journal, in order; bodies stay on disk."""
    size = path.stat().st_size
    offset = 0
    with path.open("rb") as stream:
        while len(raw := stream.read(FRAME.size)) == FRAME.size:
            mark, kind, key, head_bytes, body_bytes, checksum = FRAME.unpack(raw)
            head = stream.read(head_bytes)
            body = offset + FRAME.size + head_bytes
            offset = body + body_bytes
            if mark != MARK or offset > size or zlib.crc32(key + head) != checksum:
                return  # a torn end
            if kind == BEGIN:
                yield Entry(key, run=head.decode())
            else:
                try:
                    full_bytes, value = pickle.loads(head)
                except (
                    ImportError,
                    AttributeError,
                ):  # an older version's, in classes that are gone: nobody asks for it
                    pass
                else:
                    yield Entry(key, value, Ref(str(path), body, body_bytes, full_bytes))
            stream.seek(offset)


def read_body(ref: Ref) -> Any:
    """What was kept for a key."""
    import pyarrow as pa

    with Path(ref.journal).open("rb") as stream:
        stream.seek(ref.offset)
        packed = stream.read(ref.num_bytes)
    return pickle.loads(pa.Codec("zstd").decompress(packed, ref.full_bytes, asbytes=True))


def compact(folder: Path, live: set[bytes]) -> None:
    """Free the space of entries that nobody wants any more, where they are half of a journal or all of it."""
    taken: set[bytes] = set()
    for path in sorted(folder.glob("*.log")):
        entries = [e for e in read_journal(path) if e.ref and e.key in live and e.key not in taken]
        taken |= {e.key for e in entries}
        num_bytes = sum(e.ref.num_bytes for e in entries if e.ref)
        if entries and 2 * num_bytes >= path.stat().st_size - FRAME.size * len(entries):
            continue
        if entries:
            with Journal(folder, path.name.split(".")[0]) as journal:
                for entry in entries:
                    assert entry.ref is not None
                    journal.done(entry.key, entry.head, read_body(entry.ref))
        path.unlink()


def strike(folder: Path, keys: set[bytes]) -> None:
    """Forget what became of some keys, by writing anew the journals that hold them."""
    for path in sorted(folder.glob("*.log")):
        entries = [entry for entry in read_journal(path) if entry.ref]
        if not any(entry.key in keys for entry in entries):
            continue
        with Journal(folder, path.name.split(".")[0]) as journal:
            for entry in entries:
                if entry.key not in keys and entry.ref is not None:
                    journal.done(entry.key, entry.head, read_body(entry.ref))
        path.unlink()
