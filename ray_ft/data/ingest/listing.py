"""Lists the files under the sources, each with the reason when it will not be read; reading.py reads the others."""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.filters.license import LICENCE_FILE
from ray_ft.data.filters.rules import dropped_by_path
from ray_ft.data.formats import FORMATS, HEAD_BYTES, format_of, may_be_script
from ray_ft.data.sources import KINDS, kind_of, read_bytes
from ray_ft.data.sources.git import split
from ray_ft.errors import ConfigError, DataError
from ray_ft.source_folders import TOOL_FOLDERS, is_marked

if TYPE_CHECKING:
    from pathspec import PathSpec

SKIPPED_FOLDERS = TOOL_FOLDERS | {
    ".bzr", ".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache",
    ".ipynb_checkpoints", ".idea", ".vscode",
}  # fmt: skip
READ_AHEAD = 8  # threads that hash files
UNKNOWN_FORMAT, LINK_OUT = "unknown format", "link out of its source"
CLOSED = "a folder that cannot be read"
SCRIPT_HEAD = b"#!/bin/sh"


def list_files(data: DataConfig) -> list[SourceFile]:
    """Every file below the sources, sorted by path, each once; those that cannot be read carry the reason.

    Folders of version control, caches and environments are not entered, links to folders not followed, links to files
    only within their source, and what data.include and data.exclude leave out is not listed. Raises ConfigError for a
    source that does not exist, DataError for one without a file that ray_ft reads.
    """
    if not data.sources:
        raise ConfigError("data.sources is empty; give at least one file or folder, e.g. [docs, README.md]")
    found: dict[str, SourceFile] = {}
    seen: set[tuple[str, str]] = set()
    prefixes: set[str] = set()
    for source in data.sources:
        files = list(_files_of(source, data, unique_prefix(source, prefixes)))
        if not any(not f.reason for f in files):
            raise DataError(_nothing_in(source, files, data))
        for file in files:
            if (file.location, file.reason) not in seen:  # overlapping sources and links give a file twice
                seen.add((file.location, file.reason))
                found[file.path] = file
    return [found[path] for path in sorted(found)]


def sources_digest(data: DataConfig) -> dict[str, Any]:
    """What the sources hold now: {"digest", "num_files", "num_bytes"} over paths and contents of the files to be read.

    Raises as `list_files`.
    """
    files = [f for f in list_files(data) if not f.reason]
    hasher = hashlib.sha256()
    for file, content in zip(files, content_hashes(files), strict=True):
        hasher.update(f"{file.path}\0{content}\n".encode("utf-8", "surrogateescape"))
    num_bytes = sum(f.num_bytes for f in files)
    return {"digest": hasher.hexdigest()[:16], "num_files": len(files), "num_bytes": num_bytes}


def content_hashes(files: Sequence[SourceFile]) -> list[str]:
    """SHA-256 of each file's bytes, or why they cannot be read; a file that did not change is read once a process."""
    with ThreadPoolExecutor(READ_AHEAD) as threads:
        return list(threads.map(_content_hash, files))


def _files_of(source: str, data: DataConfig, prefix: str) -> Iterator[SourceFile]:
    """Files of one source, named below `prefix`."""
    if kind := kind_of(source):
        yield from _entries_of(source, kind, data, prefix)
        return
    try:
        for location, relative in _walk(Path(source).expanduser(), data):
            yield _source_file(location, str(PurePosixPath(prefix) / relative), data, relative, source)
    except OSError as error:
        raise ConfigError(
            f"data.sources: cannot read {source!r} ({error.strerror}, from {Path.cwd()}); "
            "give files or folders that exist"
        ) from None


def _walk(root: Path, data: DataConfig) -> Iterator[tuple[Path, str]]:
    """Files below a folder with their paths there, then links, then folders that cannot be looked into; a file itself,
    with "". Raises OSError.
    """
    if not stat.S_ISDIR(root.stat().st_mode):
        yield root, ""
        return
    chosen = _chosen(data)
    drop = _patterns(data.exclude, "data.exclude")
    links: list[tuple[Path, str]] = []
    closed: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=closed.append, followlinks=False):
        subfolders[:] = sorted(s for s in subfolders if not _is_skipped(Path(folder) / s))
        for name in sorted(names):
            location = Path(folder) / name
            relative = location.relative_to(root).as_posix()
            if location.is_symlink():
                links.append((location, relative))
            elif chosen(relative):
                yield location, relative
    yield from (link for link in links if chosen(link[1]))
    for error in closed:
        relative = Path(error.filename).relative_to(root).as_posix()
        if relative == ".":
            raise error
        if drop is None or not drop.match_file(f"{relative}/"):
            yield root / relative, relative


def source_files(source: str, data: DataConfig) -> Iterator[tuple[Path, str]]:
    """What `list_files` finds of a source of this machine, each file as the source names it, with why it is not read.

    Files that tell of others, licences and .gitattributes, are read for that.
    """
    root = Path(source).expanduser()
    if kind_of(source):
        yield root, "" if kind_of(source) == "archive" else "not a folder of this machine"
        return
    seen: set[str] = set()
    for location, relative in _walk(root, data):
        file = _source_file(location, relative or location.name, data, relative, source)
        reason = file.reason or ("a link to another one" if file.location in seen else "")
        if not reason:
            seen.add(file.location)
        tells = location.name == ".gitattributes" or (data.licenses and LICENCE_FILE.match(location.name))
        yield location, "" if tells and reason == UNKNOWN_FORMAT else reason


def _entries_of(source: str, kind: str, data: DataConfig, prefix: str) -> Iterator[SourceFile]:
    """Files of a source that is no folder; the same are left out as of a folder."""
    chosen = _chosen(data)
    for entry in KINDS[kind].list(source):
        if not chosen(entry.relative) or any(_is_tools(part) for part in PurePosixPath(entry.relative).parts[:-1]):
            continue
        path = _printable(str(PurePosixPath(prefix) / entry.relative))
        head = _head(entry.location, kind) if may_be_script(path) else b""
        reason = entry.reason or _reason(path, entry.num_bytes, data, entry.relative, head)
        yield SourceFile(path, entry.location, entry.num_bytes, reason, kind, entry.content)


def _chosen(data: DataConfig) -> Callable[[str], bool]:
    """Whether data.include and data.exclude leave a path below a source."""
    keep, drop = _patterns(data.include, "data.include"), _patterns(data.exclude, "data.exclude")
    return lambda path: (keep is None or keep.match_file(path)) and not (drop is not None and drop.match_file(path))


def _source_file(location: Path, path: str, data: DataConfig, relative: str, source: str) -> SourceFile:
    """What can be told of a file without opening it; `relative` is its path below the source, "" for a source.

    It is read where its links lead to now, for a link may be changed.
    """
    path, real = _printable(path), os.path.realpath(location)
    try:
        status = location.stat()
    except OSError as error:
        return SourceFile(path, str(location.absolute()), 0, f"unreadable: {error.strerror}")
    if relative and location.is_symlink() and not leads_inside(real, source):
        return SourceFile(path, str(location.absolute()), 0, LINK_OUT)
    if stat.S_ISDIR(status.st_mode):  # what walking could not look into
        return SourceFile(path, real, 0, CLOSED)
    is_file = stat.S_ISREG(status.st_mode)
    head = _head(real) if is_file and may_be_script(path) else b""
    reason = _reason(path, status.st_size, data, relative, head) if is_file else "not a regular file"
    return SourceFile(path, real, status.st_size, reason)


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


def _printable(path: str) -> str:
    """A path whose bytes are no UTF-8, with a mark for each of them: tables and prompts hold text only."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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
    return re.sub(r"\.(?:zip|tar(?:\.\w+)?|tgz)$", "", source, flags=re.IGNORECASE) if kind == "archive" else source


def _is_skipped(folder: Path) -> bool:
    return _is_tools(folder.name) or is_marked(folder)


def _is_tools(name: str) -> bool:
    """A folder that some tool made for itself."""
    return name in SKIPPED_FOLDERS or name.endswith((".egg-info", ".dist-info"))


def _patterns(globs: Iterable[str], key: str) -> "PathSpec[Any] | None":
    """Patterns with the meaning they have in .gitignore: `*.md` at any depth, `docs/` with all below it."""
    from pathspec import GitIgnoreSpec

    globs = list(globs)
    try:
        return GitIgnoreSpec.from_lines(globs) if globs else None
    except ValueError as error:
        raise ConfigError(f"{key}: {error}; write patterns as in .gitignore, e.g. docs/**/*.md") from None


def _content_hash(file: SourceFile) -> str:
    try:
        if file.kind:
            return file.content or hashlib.sha256(read_bytes(file.kind, file.location)).hexdigest()
        status = Path(file.location).stat()
        return _hash_file(file.location, status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError as error:
        return f"unreadable: {error.strerror}"


@lru_cache(maxsize=1 << 17)
def _hash_file(location: str, inode: int, num_bytes: int, changed_ns: int) -> str:
    """SHA-256 of a file; all that tells of a change is part of the key."""
    with Path(location).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _nothing_in(source: str, files: list[SourceFile], data: DataConfig) -> str:
    """Why a source gives nothing, and what would."""
    formats = " ".join(sorted(FORMATS))
    if not files:
        filtered = " that data.include and data.exclude leave" if data.include or data.exclude else ""
        return f"data.sources: {source!r} holds no files{filtered}; ray_ft reads {formats}"
    counts: dict[str, int] = {}
    for file in files:
        counts[file.reason] = counts.get(file.reason, 0) + 1
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
    return f"data.sources: no file of {source!r} can be used ({reasons}); ray_ft reads {formats}"
