"""Members of zip and tar archives. Those of a zip file and of a plain tar are read one by one where they stand.

A compressed tar is read from its beginning to its end, once for each time that it is listed. While `keeping` is in
force, members that are going to be read are kept on the way, in a file that all nodes see.

Nothing is written under a member's name, so no name can lead out of a folder, and no member is read beyond the size
that was listed for it. Archives in archives are not opened.
"""

import hashlib
import lzma
import stat
import tarfile
import tempfile
import threading
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tarfile import InvalidHeaderError, ReadError, TruncatedHeaderError  # type: ignore[attr-defined]
from types import TracebackType
from typing import IO, Any

from ray_ft.data.sources.base import MAX_MEMBERS, Entry, plain
from ray_ft.data.sources.unpacked import BUFFER_BYTES, go_to, refuse_bomb, unpacked_stream
from ray_ft.errors import ConfigError, DataError, StorageError, first_line
from ray_ft.storage import Store, is_uri

COMPRESSED = {
    ".tar.gz": ".gz", ".tgz": ".gz", ".tar.bz2": ".bz2", ".tbz2": ".bz2", ".tar.xz": ".xz", ".txz": ".xz",
    ".tar.zst": ".zst", ".tzst": ".zst",
}  # fmt: skip
SUFFIXES = (".zip", ".tar", *COMPRESSED)
MEMBERS = ".members"  # suffix of a file of kept members
LEVEL = 1  # of zstd; kept members are read once
READ_ERRORS = (
    EOFError, NotImplementedError, OSError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip

_folder: ContextVar["_Folder | None"] = ContextVar("folder of kept members", default=None)


def is_archive(source: str) -> bool:
    """Whether the source is a file that is named like an archive."""
    return source.lower().endswith(SUFFIXES) and not Path(source).expanduser().is_dir()


@contextmanager
def keeping(folder: str | Path) -> Iterator[None]:
    """Keep below a folder or a URI what is taken of compressed tars as they are listed, so that members are read alone.

    What is kept goes at the end.
    """
    kept = _Folder(str(folder))
    token = _folder.set(kept)
    try:
        yield
    finally:
        _folder.reset(token)
        kept.clear()


def list_archive(source: str) -> Iterator[Entry]:
    """Every file in the archive; of one that is cut short what stands before, and then that.

    Raises ConfigError for one that is missing, DataError for one of which nothing can be read, and for a bomb.
    """
    path = Path(source).expanduser().absolute()
    is_begun = False
    try:
        for entry in _list_zip(path, source) if _is_zip(path) else _list_tar(path, source):
            is_begun = True
            yield entry
    except FileNotFoundError:
        raise ConfigError(f"data.sources: there is no archive {source!r} (from {Path.cwd()})") from None
    except READ_ERRORS as error:
        if not is_begun:
            raise DataError(f"data.sources: cannot read the archive {source!r}: {first_line(error)}") from None
        yield Entry(plain(path.name), f"{path}::0:0", 0, f"damaged archive: {first_line(error)}")


def read_member(location: str) -> bytes:
    """The bytes of a member, never more than were listed. Raises OSError for what cannot be unpacked."""
    archive, place = location.rsplit("::", 1)
    first, size, *packed = (int(number) for number in place.split(":"))
    try:
        if packed:
            content = _read_kept(archive, first, size, *packed)
        elif _is_zip(Path(archive)):
            return _open_zip(archive).read(first, size)
        else:
            with _open_tar(Path(archive), archive) as stream:
                go_to(stream, first)
                content = stream.read(size)
    except (DataError, StorageError, *READ_ERRORS) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise OSError(5, f"{type(error).__name__}: {first_line(error)}") from None
    if len(content) != size:
        raise OSError(5, f"{archive} ends early")
    return content


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


# --- zip --------------------------------------------------------------------------------------------------------------


class Zip:
    """An open zip file that threads may share."""

    def __init__(self, path: str) -> None:
        self.lock = threading.Lock()
        self.file = zipfile.ZipFile(path)
        self.members = self.file.infolist()

    def read(self, number: int, size: int) -> bytes:
        """A member's bytes."""
        with self.lock, self.file.open(self.members[number]) as stream:
            return stream.read(size)


@lru_cache(maxsize=4)
def _open_zip(path: str) -> Zip:
    return Zip(path)


def _list_zip(path: Path, source: str) -> Iterator[Entry]:
    _open_zip.cache_clear()  # the file may have changed since
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    _check_number(source, len(members))
    refuse_bomb(f"data.sources: {source!r}", sum(m.file_size for m in members), path.stat().st_size)
    for number, member in enumerate(members):
        if member.is_dir():
            continue
        reason = "encrypted" if member.flag_bits & 1 else "link" if stat.S_ISLNK(member.external_attr >> 16) else ""
        name = plain(member.filename)
        yield Entry(name, f"{path}::{number}:{member.file_size}", member.file_size, reason)


# --- tar --------------------------------------------------------------------------------------------------------------


def _list_tar(path: Path, source: str) -> Iterator[Entry]:
    packing, folder = _packing(path), _folder.get()
    with ExitStack() as held:
        stream = held.enter_context(_open_tar(path, f"data.sources: {source!r}"))
        archive = held.enter_context(
            tarfile.open(fileobj=stream, mode="r|" if packing else "r:", tarinfo=_Member, bufsize=BUFFER_BYTES)
        )
        kept = held.enter_context(_Kept(folder)) if packing and folder is not None else None
        number = 0
        while (member := _next(archive, stream)) is not None:
            archive.members.clear()  # type: ignore[attr-defined] # which would hold them all
            number += 1
            _check_number(source, number)
            if member.isdir():
                continue
            is_file = member.isreg() and not member.issparse()
            reason = "" if is_file else "link" if member.linkname else "no regular file"
            entry = Entry(plain(member.name), f"{path}::{member.offset_data}:{member.size}", member.size, reason)
            if packing and is_file:
                passing = _Passing(entry, archive.extractfile(member), kept)
                entry = replace(entry, head=passing.head, taken=passing.taken)
            yield entry


class _Member(tarfile.TarInfo):
    """A header; one that is none, in the middle, would be taken for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(tarfile)
        except (InvalidHeaderError, TruncatedHeaderError) as error:
            raise ReadError(str(error)) from None


class _Passing:
    """A member while the stream is at it."""

    def __init__(self, entry: Entry, stream: Any, kept: "_Kept | None") -> None:
        self.entry, self.stream, self.kept = entry, stream, kept
        self.begin = b""

    def head(self, size: int) -> bytes:
        """How it begins, "" where that cannot be read."""
        with suppress(*READ_ERRORS):
            self.begin = self.stream.read(size)
        return self.begin

    def taken(self) -> Entry:
        """The entry with what tells its content, and where that is kept; or why it cannot be read."""
        try:
            content = self.begin + self.stream.read(self.entry.num_bytes - len(self.begin))
        except READ_ERRORS as error:
            return replace(self.entry, reason=f"unreadable: {first_line(error)}")
        if len(content) != self.entry.num_bytes:
            return replace(self.entry, reason="unreadable: the archive ends early")
        location = self.entry.location if self.kept is None else self.kept.add(content)
        return replace(self.entry, location=location, content=hashlib.sha256(content).hexdigest())


class _Folder:
    """Where members are kept that all nodes have to find, and what is there."""

    def __init__(self, root: str) -> None:
        self.root, self.names = root, list[str]()

    def clear(self) -> None:
        """Remove what was kept."""
        if is_uri(self.root) and self.names:
            Store(self.root).delete(self.names)
        elif not is_uri(self.root):
            for name in self.names:
                (Path(self.root) / name).unlink(missing_ok=True)


class _Kept:
    """A new file of members, below a folder, or below a URI once it is whole."""

    def __init__(self, folder: _Folder) -> None:
        import pyarrow as pa

        self.name = f"{uuid.uuid4().hex}{MEMBERS}"
        self.folder = folder
        self.here = tempfile.TemporaryDirectory() if is_uri(folder.root) else None
        self.path = Path(self.here.name if self.here else folder.root) / self.name
        self.place = Store(folder.root).uri_of(self.name) if self.here else str(self.path)
        self.codec = pa.Codec("zstd", LEVEL)
        self.end = 0
        folder.names.append(self.name)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.stream = self.path.open("wb")
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror}") from None

    def __enter__(self) -> "_Kept":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stream.close()
        except OSError as why:
            raise DataError(f"cannot write {self.path}: {why.strerror}") from None
        if self.here is not None:
            with self.here:
                if kind is not GeneratorExit:
                    Store(self.folder.root).send(self.name, self.path)

    def add(self, content: bytes) -> str:
        """Keep what a member holds; the place of it."""
        packed = self.codec.compress(content, asbytes=True)
        place = f"{self.place}::{self.end}:{len(content)}:{len(packed)}"
        try:
            self.stream.write(packed)
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror}") from None
        self.end += len(packed)
        return place


def _read_kept(place: str, first: int, size: int, num_bytes: int) -> bytes:
    import pyarrow as pa

    if is_uri(place):
        packed = Store(place).read("", first, first + num_bytes)
    else:
        with Path(place).open("rb") as stream:
            stream.seek(first)
            packed = stream.read(num_bytes)
    content: bytes = pa.Codec("zstd").decompress(packed, size, asbytes=True)
    return content


def _open_tar(path: Path, what: str) -> IO[bytes]:
    return unpacked_stream(path, packing, what) if (packing := _packing(path)) else path.open("rb")


def _packing(path: Path) -> str:
    """How a tar is packed, "" where it is not."""
    return next((packing for suffix, packing in COMPRESSED.items() if path.name.lower().endswith(suffix)), "")


def _next(archive: tarfile.TarFile, stream: IO[bytes]) -> tarfile.TarInfo | None:
    """The next member. A packed tar is read to its very end, where what was read may be found to be wrong."""
    member = None
    try:
        member = archive.next()
    finally:
        while member is None and not stream.seekable() and stream.read(BUFFER_BYTES):
            pass
    return member


def _check_number(source: str, num_members: int) -> None:
    if num_members > MAX_MEMBERS:
        raise DataError(f"data.sources: {source!r} has more than {MAX_MEMBERS:,} members; unpack what you need of it")
