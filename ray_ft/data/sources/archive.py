"""Members of zip and tar archives, read one by one where they stand; a compressed tar is unpacked once per machine.

Nothing is written under a member's name, so no name can lead out of a folder, and no member is read beyond the size
that was listed for it. Archives in archives are not opened.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from ray_ft.data.sources.base import MAX_MEMBERS, Entry, plain
from ray_ft.errors import ConfigError, DataError

COMPRESSED: dict[str, Callable[..., Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
SUFFIXES = (".zip", ".tar", *COMPRESSED)
MAX_RATIO, SMALL_BYTES = 100, 2**30  # an archive that unpacks to more than both is a bomb
CHUNK = 2**22


def is_archive(source: str) -> bool:
    """Whether the source is a file that is named like an archive."""
    return source.lower().endswith(SUFFIXES) and not Path(source).expanduser().is_dir()


def list_archive(source: str) -> Iterator[Entry]:
    """Every file in the archive. Raises ConfigError for one that is missing, DataError for a damaged one or a bomb."""
    path = Path(source).expanduser().absolute()
    try:
        if path.suffix.lower() == ".zip":
            yield from _list_zip(path, source)
        else:
            yield from _list_tar(path, source)
    except FileNotFoundError:
        raise ConfigError(f"data.sources: there is no archive {source!r} (from {Path.cwd()})") from None
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(f"data.sources: cannot read the archive {source!r}: {error}") from None


def read_member(location: str) -> bytes:
    """The bytes of a member, never more than were listed. Raises OSError for what cannot be unpacked."""
    archive, place = location.rsplit("::", 1)
    first, size = (int(number) for number in place.split(":"))
    try:
        if archive.lower().endswith(".zip"):
            return _open_zip(archive).read(first, size)
        with _uncompressed(Path(archive), archive).open("rb") as stream:
            stream.seek(first)
            content = stream.read(size)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, lzma.LZMAError) as error:
        raise OSError(5, f"{type(error).__name__}: {error}") from None
    if len(content) != size:
        raise OSError(5, f"{archive} ends early")
    return content


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
    _check(source, len(members), sum(m.file_size for m in members), path.stat().st_size)
    for number, member in enumerate(members):
        if member.is_dir():
            continue
        reason = "encrypted" if member.flag_bits & 1 else "link" if stat.S_ISLNK(member.external_attr >> 16) else ""
        name = plain(member.filename)
        yield Entry(name, f"{path}::{number}:{member.file_size}", member.file_size, reason)


def _list_tar(path: Path, source: str) -> Iterator[Entry]:
    with tarfile.open(_uncompressed(path, source), "r:") as archive:
        for number, member in enumerate(archive):
            _check(source, number, 0, 0)
            if member.isdir():
                continue
            reason = (
                "" if member.isreg() and not member.issparse() else "link" if member.linkname else "no regular file"
            )
            name = plain(member.name)
            yield Entry(name, f"{path}::{member.offset_data}:{member.size}", member.size, reason)


def _uncompressed(path: Path, source: str) -> Path:
    """The tar itself, or the unpacked copy of a compressed one in this machine's temporary folder."""
    opened = next((how for suffix, how in COMPRESSED.items() if path.name.lower().endswith(suffix)), None)
    if opened is None:
        return path
    status = path.stat()
    about = f"{path}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogateescape")
    folder = Path(tempfile.gettempdir()) / f"ray_ft-archives-{os.getuid()}"
    target = folder / f"{hashlib.sha256(about).hexdigest()[:32]}.tar"
    if not target.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise OSError(1, f"{folder} belongs to someone else")
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as partial:
            try:
                _unpack(opened(path), partial, source, status.st_size)
                Path(partial.name).rename(target)
            except BaseException:
                Path(partial.name).unlink()
                raise
    return target


def _unpack(stream: IO[bytes], target: IO[bytes], source: str, packed: int) -> None:
    """Copy what the stream unpacks to, and stop where it becomes a bomb."""
    num_bytes = 0
    with stream:
        while chunk := stream.read(CHUNK):
            num_bytes += len(chunk)
            _check(source, 0, num_bytes, packed)
            target.write(chunk)


def _check(source: str, num_members: int, unpacked: int, packed: int) -> None:
    if num_members > MAX_MEMBERS:
        raise DataError(f"data.sources: {source!r} has more than {MAX_MEMBERS:,} members; unpack what you need of it")
    if unpacked > SMALL_BYTES and unpacked > MAX_RATIO * packed:
        raise DataError(
            f"data.sources: {source!r} unpacks to more than {MAX_RATIO} times its size, as archive bombs do; "
            "unpack it yourself if it is meant to"
        )
