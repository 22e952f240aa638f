"""A training set below a URI: a manifest names the objects that its files are, and what is read lies here once.

The manifest is put when all of its objects are there, is named by its content and never changes: a set is whole or is
not there. What a machine reads of it is fetched file by file into the user's cache, checked, and shared by processes
and by sets that have files in common; what was used longest ago goes when the disk is full.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ray_ft.errors import MissingArtifactError, StorageError
from ray_ft.storage.cache import cache_path
from ray_ft.storage.filesystems import shown
from ray_ft.storage.objects import MissingObject, Store, in_parallel, is_uri

MANIFEST = "set.json"
SETS = "sets"  # folder of the sets' manifests, below the data's URI
KEPT_FREE_BYTES = 512 * 2**20  # of the cache's disk
JUST_FETCHED_SECONDS = 60  # while a file may wait to be listed by its set
WAY_OUT = "run `ray-ft prepare ... --force` to make the set anew"

_in_use: dict[Path, IO[Any]] = {}
_guard = threading.Lock()


@dataclass(frozen=True)
class Part:
    """A file of a set: the object that holds it, below the data's URI."""

    object: str
    num_bytes: int
    sha256: str


def part_of(training_set: str | Path, name: str) -> Path:
    """The path on this machine of a file or a folder of a training set; what lies below a URI is fetched first.

    Where the set has no such file the path leads nowhere. Raises MissingArtifactError where the set is gone, and
    StorageError where a file of it is, or cannot be fetched.
    """
    if not is_uri(training_set):
        return Path(training_set) / name
    return _opened(str(training_set)).part(name)


def parts_of(training_set: str | Path, *, without: str = ".npy") -> Path:
    """The folder of a training set on this machine, with all files but those of a suffix."""
    if not is_uri(training_set):
        return Path(training_set)
    return _opened(str(training_set)).all(without)


def files_of(training_set: str | Path, folder: str) -> list[str]:
    """The names in a set of the files that a folder of it holds, in order; nothing is fetched."""
    if is_uri(training_set):
        return [name for name in _opened(str(training_set)).files if name.startswith(f"{folder}/")]
    root = Path(training_set)
    return sorted(str(file.relative_to(root)) for file in (root / folder).glob("*") if file.is_file())


def resolved(training_set: str | Path) -> str:
    """A set's place as other processes find it: a URI, or a whole path."""
    return str(training_set) if is_uri(training_set) else str(Path(training_set).resolve())


def is_whole(training_set: str | Path) -> bool:
    """Whether a set that was made is still there."""
    if not is_uri(training_set):
        return Path(training_set).is_dir()
    return Store(str(training_set)).is_there(MANIFEST)


def put_manifest(store: Store, parts: Mapping[str, Part]) -> str:
    """Make a set of objects that are there; its URI, which is another one for other files."""
    rows = {name: [part.object, part.num_bytes, part.sha256] for name, part in sorted(parts.items())}
    content = (json.dumps({"version": 1, "files": rows}, separators=(",", ":")) + "\n").encode()
    own = f"{SETS}/{_name_of(content)}"
    store.write(f"{own}/{MANIFEST}", content)
    return store.uri_of(own)


def read_manifest(training_set: str) -> dict[str, Part]:
    """The files of a set. Raises MissingArtifactError where it is gone."""
    return _parts(_manifest(training_set))


def _manifest(training_set: str) -> bytes:
    store = Store(training_set)
    try:
        content = store.read(MANIFEST)
    except MissingObject as error:
        raise MissingArtifactError(
            f"{error}: the training set was replaced by a newer one, or deleted; run `ray-ft prepare CONFIG` first."
        ) from None
    if _name_of(content) != PurePosixPath(training_set.partition("?")[0]).name:
        raise StorageError(f"{shown(store.uri_of(MANIFEST))} is damaged; {WAY_OUT}")
    return content


def _parts(content: bytes) -> dict[str, Part]:
    return {name: Part(*row) for name, row in json.loads(content)["files"].items()}


def _name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


class _Copy:
    """What this machine has of a set."""

    def __init__(self, training_set: str) -> None:
        name = PurePosixPath(training_set.partition("?")[0]).name
        self.cache = cache_path() / "training_sets"
        self.folder = self.cache / "sets" / name
        self.store = Store(training_set)
        self.data = Store(training_set.replace(f"/{SETS}/{name}", "", 1))
        self.files = read_manifest(training_set)
        if leads_out := next((n for n in self.files if n.startswith("/") or ".." in PurePosixPath(n).parts), None):
            raise StorageError(
                f"{shown(self.store.uri_of(MANIFEST))} names {leads_out!r}, which leads out of a set; {WAY_OUT}"
            )
        with _writing(self.cache):
            self.folder.mkdir(parents=True, exist_ok=True)
            _hold(self.folder)

    def part(self, name: str) -> Path:
        names = [name] if name in self.files else [n for n in self.files if n.startswith(f"{name}/")]
        return self._fetched(names) / name

    def all(self, without: str) -> Path:
        return self._fetched([name for name in self.files if not name.endswith(without)])

    def _fetched(self, names: list[str]) -> Path:
        missing = [name for name in names if not (self.folder / name).exists()]
        with _writing(self.cache):
            for _ in in_parallel(self._fetch, missing):
                pass
            os.utime(self.folder / USED)
        return self.folder

    def _fetch(self, name: str) -> None:
        part, place = self.files[name], self.folder / name
        kept = self.cache / "objects" / part.sha256[:2] / part.sha256
        kept.parent.mkdir(parents=True, exist_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.cache / "locks" / part.sha256[:2]):
            if not kept.exists() or kept.stat().st_size != part.num_bytes:
                self._make(part, kept)
            with suppress(FileExistsError):
                try:
                    os.link(kept, place)
                except FileExistsError:
                    raise
                except OSError:  # file systems that know no links
                    kept.rename(place)

    def _make(self, part: Part, kept: Path) -> None:
        make_room(self.cache, part.num_bytes)
        partial = kept.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            self.data.fetch(part.object, partial)
            if partial.stat().st_size != part.num_bytes or _sha256(partial) != part.sha256:
                raise StorageError(
                    f"{shown(self.data.uri_of(part.object))} is not what its training set lists; {WAY_OUT}"
                )
            partial.rename(kept)
        except MissingObject as error:
            raise StorageError(
                f"{error}, but a training set lists it: a newer one took its place, or it was deleted; {WAY_OUT}"
            ) from None
        finally:
            partial.unlink(missing_ok=True)


USED = ".used"  # held by processes that read a set, and touched when they do


@lru_cache(maxsize=8)
def _opened_at(training_set: str, cache: Path) -> _Copy:
    return _Copy(training_set)


def _opened(training_set: str) -> _Copy:
    with _guard:
        return _opened_at(training_set, cache_path())


def make_room(cache: Path, num_bytes: int) -> None:
    """Remove what no process uses, the longest unused first, until a file of so many bytes fits.

    Raises StorageError where it does not even then.
    """
    with _alone(cache / "locks" / "room"):
        if _fits(cache, num_bytes):
            return
        for folder in sorted((cache / "sets").iterdir(), key=_last_used):
            if _is_free(folder):
                shutil.rmtree(folder, ignore_errors=True)
                _drop_unlisted(cache)
                if _fits(cache, num_bytes):
                    return
        _drop_unlisted(cache)
        if not _fits(cache, num_bytes):
            raise StorageError(
                f"no room in {cache} for {num_bytes:,} bytes of a training set; RAY_FT_CACHE names another folder"
            )


def _fits(cache: Path, num_bytes: int) -> bool:
    return shutil.disk_usage(cache).free >= num_bytes + KEPT_FREE_BYTES


def _drop_unlisted(cache: Path) -> None:
    """Objects that no set has any more."""
    for file in (cache / "objects").glob("*/*"):
        with suppress(OSError):
            about = file.stat()
            if about.st_nlink == 1 and time.time() - about.st_mtime > JUST_FETCHED_SECONDS:
                file.unlink()


def _last_used(folder: Path) -> float:
    with suppress(OSError):
        return (folder / USED).stat().st_mtime
    return 0.0


def _hold(folder: Path) -> None:
    """Keep a set's folder as long as this process lives."""
    if folder not in _in_use or not (folder / USED).exists():
        file = (folder / USED).open("a")
        with suppress(OSError):  # file systems that know no locks
            fcntl.flock(file, fcntl.LOCK_SH)
        _in_use[folder] = file


def _is_free(folder: Path) -> bool:
    try:
        with (folder / USED).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process and thread at a time; a lock lies under the beginning of a file's hash, so that there are few."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        with suppress(OSError):  # file systems that know no locks: both fetch, and the last one's file stays
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to {cache}: {error.strerror or error}; RAY_FT_CACHE names another folder"
        ) from None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
