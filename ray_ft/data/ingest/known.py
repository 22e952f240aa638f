"""What files held when they were last read, in a file beside the run: what did not change since is not read again.

As in git's index a file is known by its size, its times and its inode. What had changed less than two seconds before is
not noted: it may change again within what its file system takes for one moment. Notes stand in the order of paths, as
files are listed, so that both are gone through side by side and no memory is needed.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ray_ft.data.documents import SourceFile
from ray_ft.data.sources import read_bytes

KNOWN = "known"  # file of the work folder
RECENT_NS = 2_000_000_000  # the coarsest time of a file system (FAT)
DIGITS = 64  # of SHA-256


class Known:
    """What earlier runs noted of files, asked for in the order of a listing."""

    def __init__(self, path: Path | None) -> None:
        self._rows = iter(()) if path is None else _rows(path)
        self._row: list[Any] | None = next(self._rows, None)

    def content(self, file: SourceFile) -> str:
        """SHA-256 of the file's bytes, or what its source tells them by; "" where only reading tells."""
        if file.content or not file.stamp:
            return file.content
        while self._row is not None and self._row[0] < file.path:
            self._row = next(self._rows, None)
        return str(self._row[2]) if self._row is not None and self._row[:2] == [file.path, _told(file)] else ""


class Notes:
    """What files held, noted in the order of a listing that began at a time; takes the place of the notes before.

    Nothing is noted where the folder is not there or cannot be written, nor kept when the block ends in an error.
    """

    def __init__(self, path: Path | None, began_ns: int | None = None) -> None:
        self.path = path
        self._before_ns = (time.time_ns() if began_ns is None else began_ns) - RECENT_NS
        self._stream: IO[str] | None = None

    def __enter__(self) -> "Notes":
        if self.path is not None and self.path.parent.is_dir():
            self._partial = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:8]}.partial")
            with suppress(OSError):
                self._stream = self._partial.open("w", encoding="utf-8", errors="surrogatepass")
        return self

    def add(self, file: SourceFile, content: str) -> None:
        """What the file held when it had its stamp."""
        if self._stream is None or not file.stamp or len(content) != DIGITS:
            return
        if max(file.stamp[1:3]) < self._before_ns:
            try:
                self._stream.write(json.dumps([file.path, _told(file), content], ensure_ascii=False) + "\n")
            except OSError:  # a full disk: what was noted before stays
                self._stop(keep=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(keep=kind is None)

    def _stop(self, *, keep: bool) -> None:
        if self._stream is None or self.path is None:
            return
        with suppress(OSError):
            self._stream.close()
            if keep:
                self._partial.replace(self.path)
        self._partial.unlink(missing_ok=True)
        self._stream = None


def _told(file: SourceFile) -> list[Any]:
    return [file.location, *file.stamp]


def _rows(path: Path) -> Iterator[list[Any]]:
    """Path, what told of it, and content, up to the first line that is none."""
    try:
        with path.open(encoding="utf-8", errors="surrogatepass") as stream:
            for line in stream:
                row = json.loads(line)
                if not (isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and _is_digest(row[2])):
                    return
                yield row
    except (OSError, ValueError):
        return


def _is_digest(content: Any) -> bool:
    return isinstance(content, str) and len(content) == DIGITS and set(content) <= set("0123456789abcdef")


# --- what tells that a file has not changed, without reading it -------------------------------------------------------

Stamp = tuple[int, ...]
"""Size, time of change, time of change of what is told of it, inode; () where nothing tells."""


def stamp_of(status: os.stat_result) -> Stamp:
    """What tells one content of a file from another, as in git's index."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def stamp_of_archive(source: str) -> Stamp:
    """The stamp of the archive that a member is in, or that is listed."""
    try:
        return stamp_of(os.stat(os.path.expanduser(source.rsplit("::", 1)[0])))  # noqa: PTH111, PTH116
    except OSError:
        return ()


def hash_stamped(file: SourceFile) -> tuple[str, Stamp]:
    """SHA-256 of a file's bytes, what its source tells them by, or why they cannot be read; and its stamp."""
    try:
        if file.content:
            return file.content, ()
        if file.kind:
            before = stamp_of_archive(file.location) if file.stamp else ()
            content = hashlib.sha256(read_bytes(file.kind, file.location)).hexdigest()
            return content, before if file.stamp and stamp_of_archive(file.location) == before else ()
        with opened(file.location) as stream:
            before = stamp_of(os.fstat(stream.fileno()))
            content = hashlib.file_digest(stream, "sha256").hexdigest()
            return content, before if stamp_of(os.fstat(stream.fileno())) == before else ()
    except OSError as error:
        return unreadable(error), ()


def unreadable(error: OSError) -> str:
    """Why a file is not read."""
    return f"unreadable: {error.strerror or error}"


@contextmanager
def opened(location: str) -> Iterator[BufferedReader]:
    """A file of this machine, to be read. Raises OSError, also for a link in the place of a listed file."""
    with open(location, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as stream:
        yield stream
