"""Lists the files under the sources, each with the reason when it will not be read; reading.py reads the others."""

import hashlib
import heapq
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.filters.license import LICENCE_FILE
from ray_ft.data.filters.rules import dropped_by_path
from ray_ft.data.formats import FORMATS, HEAD_BYTES, format_of, may_be_script
from ray_ft.data.ingest.known import Known, Notes, Stamp, hash_stamped, stamp_of, stamp_of_archive
from ray_ft.data.ingest.walk import Found, chosen_paths, is_skipped, is_tools, walk
from ray_ft.data.sources import KINDS, kind_of, read_bytes
from ray_ft.data.sources.base import printable
from ray_ft.data.sources.git import split
from ray_ft.errors import ConfigError, DataError

READ_AHEAD = 8  # threads that hash files
HASHED_AT_A_TIME, HASHED_TOGETHER = 4096, 64  # files of all threads, and of one
UNKNOWN_FORMAT, LINK_OUT = "unknown format", "link out of its source"
MAX_TELLING_BYTES = 2**20  # of a licence, or of what a repository says of its files
ARCHIVE_SUFFIX = re.compile(r"\.(?:zip|tar(?:\.\w+)?|t(?:gz|bz2|xz|zst))$", re.IGNORECASE)
SCRIPT_HEAD = b"#!/bin/sh"


def list_files(data: DataConfig) -> list[SourceFile]:
    """All of `each_file`, for sources of a few thousand files."""
    return list(each_file(data))


def each_file(data: DataConfig) -> Iterator[SourceFile]:
    """Every file below the sources, in the order of paths, each once; those that cannot be read carry the reason.

    Folders of version control, caches and environments are not entered, links to folders not followed, links to files
    only within their source, and what data.include and data.exclude leave out is not listed. Files come as folders
    are gone through, so that no list of them all is needed.
    Raises ConfigError for a source that does not exist, DataError for one without a file that ray_ft reads.
    """
    if not data.sources:
        raise ConfigError("data.sources is empty; give at least one file or folder, e.g. [docs, README.md]")
    prefixes: set[str] = set()
    streams = [_checked(source, data, unique_prefix(source, prefixes)) for source in data.sources]
    # Sources that lie in each other give a file twice.
    seen: set[tuple[str, str]] | None = set() if _overlap(data.sources) else None
    last: SourceFile | None = None
    for file in _in_turn(streams, seen):
        if last is not None and last.path != file.path:
            yield last
        last = file  # of two sources that name files alike the later one counts
    if last is not None:
        yield last


def _in_turn(streams: Sequence[Iterator[SourceFile]], seen: set[tuple[str, str]] | None) -> Iterator[SourceFile]:
    """The files of all sources by path; of those in several, the one of the first source."""
    if seen is None:
        yield from heapq.merge(*streams, key=lambda file: file.path)
        return
    found: list[SourceFile] = []
    for stream in streams:
        for file in stream:
            if (file.location, file.reason) not in seen:
                seen.add((file.location, file.reason))
                found.append(file)
    yield from sorted(found, key=lambda file: file.path)


def _overlap(sources: Sequence[str]) -> bool:
    """Whether one of the sources lies in another."""
    roots = sorted(Path(os.path.realpath(Path(s).expanduser())).parts for s in sources if not kind_of(s))
    return any(after[: len(before)] == before for before, after in pairwise(roots)) or len(set(sources)) < len(sources)


def _checked(source: str, data: DataConfig, prefix: str) -> Iterator[SourceFile]:
    """The files of one source, the last of which ends in an error where none can be read."""
    reasons: Counter[str] = Counter()
    for file in _files_of(source, data, prefix):
        reasons[file.reason] += 1
        yield file
    if not reasons[""]:
        raise DataError(_nothing_in(source, reasons, data))


def sources_digest(data: DataConfig, known: Path | None = None, *, trusted: bool = True) -> dict[str, Any]:
    """What the sources hold now: {"digest", "num_files", "num_bytes"} over paths and contents of the files to be read.

    What was noted in `known` is not read again where that is `trusted`, and noted anew. Raises as `each_file`.
    """
    digest = SourcesDigest()
    earlier = Known(known if trusted else None)
    with Notes(known) as notes:
        readable = (file for file in each_file(data) if not file.reason)
        while some := list(islice(readable, HASHED_AT_A_TIME)):
            contents = [earlier.content(file) for file in some]
            unread = (file for file, content in zip(some, contents, strict=True) if not content)
            hashed = iter(content_hashes(list(unread)))
            for file, content in zip(some, contents, strict=True):
                found, stamp = (content, file.stamp) if content else next(hashed)
                digest.add(file, found)
                if stamp == file.stamp:
                    notes.add(file, found)
    return digest.found()


class SourcesDigest:
    """Over paths and contents of files, one after the other."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._num_files = self._num_bytes = 0

    def add(self, file: SourceFile, content: str) -> None:
        """Count a file."""
        self._hasher.update(f"{file.path}\0{content}\n".encode("utf-8", "surrogateescape"))
        self._num_files += 1
        self._num_bytes += file.num_bytes

    def found(self) -> dict[str, Any]:
        """{"digest", "num_files", "num_bytes"}."""
        return {
            "digest": self._hasher.hexdigest()[:16], "num_files": self._num_files, "num_bytes": self._num_bytes,
        }  # fmt: skip


def content_hashes(files: Sequence[SourceFile]) -> list[tuple[str, Stamp]]:
    """What `hash_stamped` tells of each file, by threads of this process."""
    portions = [files[start : start + HASHED_TOGETHER] for start in range(0, len(files), HASHED_TOGETHER)]
    with ThreadPoolExecutor(READ_AHEAD) as threads:
        return list(chain.from_iterable(threads.map(lambda some: [*map(hash_stamped, some)], portions)))


def _files_of(source: str, data: DataConfig, prefix: str) -> Iterator[SourceFile]:
    """Files of one source, named below `prefix`, in the order of their paths."""
    if kind := kind_of(source):
        files = _entries_of(source, kind, data, prefix)
        yield from files if kind == "uri" else sorted(files, key=lambda file: file.path)
        return
    try:
        yield from _files_below(source, data, prefix)
    except OSError as error:
        raise _unreadable(source, error) from None


def require_sources(data: DataConfig) -> None:
    """Raise ConfigError for a file or a folder that is not there: listing would, after what takes long."""
    for source in data.sources:
        try:
            if not kind_of(source):
                Path(source).expanduser().stat()
        except OSError as error:
            raise _unreadable(source, error) from None


def _unreadable(source: str, error: OSError) -> ConfigError:
    why = f"cannot read {source!r} ({error.strerror}, from {Path.cwd()})"
    return ConfigError(f"data.sources: {why}; give files or folders that exist")


def _files_below(source: str, data: DataConfig, prefix: str) -> Iterator[SourceFile]:
    """Files of a folder or a file of this machine. A link to a file that is listed itself gives nothing new."""
    root = Path(source).expanduser()
    linked: set[tuple[str, str]] = set()
    chosen = chosen_paths(data)
    for found in walk(root, data):
        path = "/".join(part for part in (prefix, found.relative) if part)
        if found.problem:
            yield SourceFile(printable(path), str(Path(found.location).absolute()), 0, found.problem)
            continue
        file = _source_file(found, path, data, source)
        if found.is_link and found.relative:
            told = (file.location, file.reason)
            if told in linked or file.reason == _reason_of_target(file, root, data, chosen):
                continue
            linked.add(told)
        yield file


def _reason_of_target(link: SourceFile, root: Path, data: DataConfig, chosen: Callable[[str], bool]) -> str | None:
    """Why what a link leads to is not read under its own name; None where it is not listed at all."""
    real = Path(os.path.realpath(root))
    target = Path(link.location)
    if not target.is_file() or target.is_symlink() or not target.is_relative_to(real):
        return None
    relative = target.relative_to(real)
    if any(is_skipped(real / folder) for folder in relative.parents if folder.name):
        return None
    name = relative.as_posix()
    return _source_file(Found(str(target), name), name, data, str(root)).reason if chosen(name) else None


def source_files(source: str, data: DataConfig) -> Iterator[tuple[Path, str]]:
    """What `each_file` finds of a source of this machine, each file as the source names it, with why it is not read.

    Files that tell of others, licences and .gitattributes, are read for that.
    """
    root = Path(source).expanduser()
    if kind_of(source):
        yield root, "" if kind_of(source) == "archive" else "not a folder of this machine"
        return
    seen: set[str] = set()
    for found in sorted(walk(root, data), key=lambda found: found.is_link):
        location = Path(found.location)
        if found.problem:
            yield location, found.problem
            continue
        file = _source_file(found, found.relative or location.name, data, source)
        reason = file.reason or ("a link to another one" if file.location in seen else "")
        if not reason:
            seen.add(file.location)
        tells = location.name == ".gitattributes" or (data.licenses and LICENCE_FILE.match(location.name))
        yield location, "" if tells and reason == UNKNOWN_FORMAT else reason


def _entries_of(source: str, kind: str, data: DataConfig, prefix: str) -> Iterator[SourceFile]:
    """Files of a source that is no folder; the same are left out as of a folder."""
    chosen = chosen_paths(data)
    stamp = stamp_of_archive(source) if kind == "archive" else ()
    for entry in KINDS[kind].list(source):
        if not chosen(entry.relative) or any(is_tools(part) for part in PurePosixPath(entry.relative).parts[:-1]):
            continue
        path = printable(str(PurePosixPath(prefix) / entry.relative))
        head = b""
        if may_be_script(path):
            head = entry.head(HEAD_BYTES) if entry.head else _head(entry.location, kind)
        reason = entry.reason or _reason(path, entry.num_bytes, data, entry.relative, head)
        if entry.taken and (not reason or (_tells(path) and entry.num_bytes <= MAX_TELLING_BYTES)):
            entry = entry.taken()
            reason = reason or entry.reason
        own = () if entry.content else stamp
        yield SourceFile(path, entry.location, entry.num_bytes, reason, kind, entry.content, own)


def _source_file(found: Found, path: str, data: DataConfig, source: str) -> SourceFile:
    """What can be told of a file without opening it. It is read where links lead to now, for a link may be changed."""
    path, relative = printable(path), found.relative
    real = found.real or os.path.realpath(found.location)
    try:
        status = os.stat(found.real or found.location)  # noqa: PTH116 - a Path for each file takes longer than this
    except OSError as error:
        return SourceFile(path, str(Path(found.location).absolute()), 0, f"unreadable: {error.strerror}")
    if relative and found.is_link and not leads_inside(real, source):
        return SourceFile(path, str(Path(found.location).absolute()), 0, LINK_OUT)
    is_file = stat.S_ISREG(status.st_mode)
    head = _head(real) if is_file and may_be_script(path) else b""
    reason = _reason(path, status.st_size, data, relative, head) if is_file else "not a regular file"
    return SourceFile(path, real, status.st_size, reason, stamp=stamp_of(status))


def leads_inside(path: str | Path, source: str | Path) -> bool:
    """Whether a path of a source still lies in it when all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(Path(source).expanduser()))


def _head(location: str, kind: str = "") -> bytes:
    """How a file begins; of one behind a URI nothing is fetched before it is read, so that reading tells."""
    if kind == "uri":
        return SCRIPT_HEAD
    try:
        if kind:
            return read_bytes(kind, location)[:HEAD_BYTES]
        with Path(location).open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""


def _reason(path: str, num_bytes: int, data: DataConfig, relative: str, head: bytes = b"") -> str:
    """Why a file will not be read, by its name, its size, and how it begins where it has no suffix."""
    if format_of(path, head) is None:
        return UNKNOWN_FORMAT
    return "larger than data.max_file_bytes" if num_bytes > data.max_file_bytes else dropped_by_path(relative)


def _tells(path: str) -> bool:
    """Whether a file may say something of others."""
    name = path.rpartition("/")[2]
    return name == ".gitattributes" or bool(LICENCE_FILE.match(name))


def unique_prefix(source: str, taken: set[str]) -> str:
    """How paths of a source begin: as the config names it, or its last part when it lies elsewhere; all differ."""
    path = os.path.normpath(Path(source_name(source)).expanduser())
    elsewhere = Path(path).is_absolute() or path.startswith("..")
    prefix = Path(path).resolve().name if elsewhere else "" if path == "." else Path(path).as_posix()
    unique, number = prefix, 2
    while unique in taken:
        unique, number = f"{prefix}~{number}", number + 1
    taken.add(unique)
    return unique


def source_name(source: str) -> str:
    """What paths of a source begin with: a repository's without the revision, an archive's without the suffix."""
    kind = kind_of(source)
    if kind == "git":
        return split(source)[0]
    if kind == "uri":
        name = PurePosixPath(source.partition("?")[0].rstrip("/")).name
        return "" if format_of(name) else name
    return (
        re.sub(r"\.(?:zip|tar(?:\.\w+)?|t(?:gz|bz2|xz|zst))$", "", source, flags=re.IGNORECASE)
        if kind == "archive"
        else source
    )


def _nothing_in(source: str, reasons: Counter[str], data: DataConfig) -> str:
    """Why a source gives nothing, and what would."""
    formats = " ".join(sorted(FORMATS))
    if not reasons.total():
        filtered = " that data.include and data.exclude leave" if data.include or data.exclude else ""
        return f"data.sources: {source!r} holds no files{filtered}; ray_ft reads {formats}"
    told = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()) if n)
    return f"data.sources: no file of {source!r} can be used ({told}); ray_ft reads {formats}"
