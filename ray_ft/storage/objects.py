"""Objects below a URI, by name: written whole or not at all, read whole or in part, tried again where storage stumbles.

What storage will never give (no bucket, no permission, no such object) is told at once; all else is tried some times.
"""

import random
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ray_ft.errors import StorageError, first_line
from ray_ft.storage.filesystems import joined, open_filesystem, query_of, shown, without_user

Given = TypeVar("Given")
Made = TypeVar("Made")

ATTEMPTS, FIRST_WAIT_SECONDS = 6, 0.5  # waits of 0.5, 1, 2, 4 and 8 s lie between them
AT_A_TIME = 8 * 2**20  # bytes of a file that is sent
THREADS = 16  # requests under way at a time, of one process
WITH_HALVES = ("file", "local", "hdfs", "sftp", "smb")  # schemes where a file is there before it is whole
PARTIAL = ".partial"
TIMES = ("mtime", "last_modified", "LastModified", "updated", "created")
REASONS = (
    (re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist", re.IGNORECASE), "there is no such bucket"),
    (
        re.compile(r"ACCESS_DENIED|AccessDenied|Forbidden|\b403\b|Permission denied|PermissionDenied", re.IGNORECASE),
        "storage denies it to these credentials",
    ),
    (
        re.compile(r"INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|EXPIRED_TOKEN|UNRECOGNIZED_CLIENT|No credentials|"
                   r"INVALID_CLIENT_TOKEN|Unauthenticated|\b401\b", re.IGNORECASE),
        "storage does not take these credentials; it finds them in the environment, as its own programs do",
    ),
    (re.compile(r"Read-only file system|METHOD_NOT_ALLOWED", re.IGNORECASE), "it can only be read"),
)  # fmt: skip
"""What storage will not think better of, and how it is told."""


class MissingObject(StorageError):
    """Nothing has that name."""


@dataclass(frozen=True)
class Found:
    """An object that is there."""

    name: str  # below the store's URI
    num_bytes: int
    changed: float  # seconds by the storage's clock; 0 where it does not tell


def is_uri(path: object) -> bool:
    """Whether a place is told by a URI, and not by a path of this machine."""
    return "://" in str(path)


class Store:
    """The objects below a URI. All methods raise StorageError where storage does not do what is asked."""

    def __init__(self, uri: str, *, key: str = "data.storage_uri", attempts: int = ATTEMPTS) -> None:
        self.uri, self.key, self.attempts = uri, key, attempts
        self._fs, root = open_filesystem(uri, key)
        self._root = PurePosixPath(root)
        self._scheme = uri.partition("://")[0]

    def below(self, *names: str) -> "Store":
        """The store of what lies below a name."""
        return Store(joined(self.uri, *names), key=self.key, attempts=self.attempts)

    def uri_of(self, name: str) -> str:
        """The whole URI of an object."""
        return joined(self.uri, name)

    def name_of(self, uri: str) -> str:
        """The name of an object, of its whole URI."""
        return uri.removesuffix(query_of(uri)).removeprefix(self.uri_of("").removesuffix(query_of(uri)))

    def list(self, prefix: str = "") -> list[Found]:
        """Objects whose names begin with a folder's, in the order of names."""
        top = self._path(prefix) if prefix else str(self._root)

        def found() -> list[Found]:
            if hasattr(self._fs, "fs"):  # pyarrow's, which lists a tree by one request for each thousand objects
                from pyarrow.fs import FileSelector, FileType

                infos = self._fs.fs.get_file_info(FileSelector(top, allow_not_found=True, recursive=True))
                files = [i for i in infos if i.type == FileType.File]
                return [Found(self._name(i.path), i.size, (i.mtime_ns or 0) / 1e9) for i in files]
            self._fs.invalidate_cache()
            every = self._fs.find(top, detail=True)
            return [Found(self._name(p), int(about.get("size") or 0), _time(about)) for p, about in every.items()]

        try:
            files = self._tried("list", prefix, found)
        except MissingObject:
            return []
        return sorted((f for f in files if not f.name.endswith(PARTIAL)), key=lambda f: f.name)

    def is_there(self, name: str) -> bool:
        """Whether an object has that name."""
        path = self._path(name)
        try:
            return bool(self._tried("read", name, lambda: self._fs.info(path)["type"] == "file"))
        except MissingObject:
            return False

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Its bytes, or those from `start` to before `end`. Raises MissingObject where it is not there."""
        path = self._path(name)
        more = {"seekable": True} if end is not None and hasattr(self._fs, "fs") else {}  # pyarrow's asks where it is
        return self._tried("read", name, lambda: bytes(self._fs.cat_file(path, start=start or None, end=end, **more)))

    def write(self, name: str, content: bytes) -> None:
        """Put an object whole in the place of the one of that name."""
        self._tried("write", name, lambda: self._put(name, lambda path: self._fs.pipe_file(path, content)))

    def send(self, name: str, file: Path) -> None:
        """Put a file of this machine there, whole."""

        def put(path: str) -> None:
            with file.open("rb") as stream, self._fs.open(path, "wb") as target:
                shutil.copyfileobj(stream, target, AT_A_TIME)

        self._tried("write", name, lambda: self._put(name, put))

    def fetch(self, name: str, file: Path) -> None:
        """Copy an object into a file of this machine. Raises MissingObject where it is not there."""
        path = self._path(name)
        self._tried("read", name, lambda: self._fs.get_file(path, str(file)))

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are not there are gone already."""

        def one(name: str) -> None:
            try:
                self._tried("delete", name, lambda: self._fs.rm_file(self._path(name)))
            except MissingObject:
                return

        for _ in in_parallel(one, names):
            pass

    def _put(self, name: str, put: Callable[[str], Any]) -> None:
        path = self._path(name)
        if self._scheme not in WITH_HALVES:
            put(path)
            return
        self._fs.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        partial = f"{path}.{uuid.uuid4().hex[:8]}{PARTIAL}"
        try:
            put(partial)
            self._fs.mv(partial, path)
        except BaseException:
            if self._fs.exists(partial):
                self._fs.rm_file(partial)
            raise

    def _path(self, name: str) -> str:
        return str(self._root / name)

    def _name(self, path: str) -> str:
        return str(PurePosixPath(path).relative_to(self._root))

    def _tried(self, what: str, name: str, call: Callable[[], Made]) -> Made:
        where = shown(self.uri_of(name) if name else self.uri)
        for attempt in range(self.attempts):
            try:
                return call()
            except FileNotFoundError as error:
                if reason := lasting_reason(error):
                    raise StorageError(f"{self.key}: cannot {what} {where}: {reason}") from None
                raise MissingObject(f"{self.key}: {where} is not there") from None
            except Exception as error:  # each storage fails in ways of its own
                reason = lasting_reason(error)
                if reason or attempt + 1 == self.attempts:
                    told = reason or without_user(first_line(error))
                    raise StorageError(f"{self.key}: cannot {what} {where}: {told}") from None
            time.sleep(FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.8, 1.2))
        raise AssertionError("there is at least one attempt")


def lasting_reason(error: Exception) -> str:
    """Why trying again is of no use; "" where it may be."""
    if isinstance(error, PermissionError):
        return "storage denies it to these credentials"
    if isinstance(error, (FileExistsError, IsADirectoryError, NotADirectoryError)):
        return error.strerror or "a file is where a folder should be"
    return next((says for pattern, says in REASONS if pattern.search(str(error))), "")


def in_parallel(function: Callable[[Given], Made], given: Iterable[Given], threads: int = THREADS) -> Iterator[Made]:
    """What the function says of each, in their order, some under way at a time and none read far ahead."""
    waiting: list[Any] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for one in given:
                waiting.append(pool.submit(function, one))
                if len(waiting) > 2 * threads:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for late in waiting:
                late.cancel()


def _time(about: dict[str, Any]) -> float:
    found = next((about[key] for key in TIMES if about.get(key)), 0.0)
    return float(found.timestamp() if hasattr(found, "timestamp") else found) if not isinstance(found, str) else 0.0
