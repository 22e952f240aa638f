"""Files of a checkpoint: hashed as they are written, on the disk before they count, compared before they are read."""

import errno
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Written:
    """What a rank says of a file that it has written."""

    size: int  # bytes
    sha256: str


def write_tensors(state: Any, path: Path) -> Written:
    """torch.save to the disk. Raises OSError where it fails, or where the file reads otherwise than it was written."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb") as raw:
            file: Any = _Hashed(raw)
            torch.save(state, file)
            raw.flush()
            os.fsync(raw.fileno())
    except RuntimeError as error:  # torch alone says "unexpected pos 64 vs 0"
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    written = settle(path)
    if written != Written(file.size, file.hash.hexdigest()):
        raise OSError(errno.EIO, f"{path.name} reads otherwise than it was written")
    return written


def settle(path: Path) -> Written:
    """Bring a file to the disk, and say what is in it."""
    sync(path)
    return Written(path.stat().st_size, _sha256(path))


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damage(folder: Path, record: dict[str, Any], names: Iterable[str] | None = None) -> str | None:
    """What is wrong with the files that a record lists, `names` or all of them; None where they are as written."""
    for name in record["files"] if names is None else names:
        path, digest = folder / name, record.get("sha256", {}).get(name)
        try:
            size = path.stat().st_size
            if size != record["files"][name]:
                return f"{name} has {size} of {record['files'][name]} bytes"
            if digest is not None and _sha256(path) != digest:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


class _Hashed:
    """A file that takes note of what is written to it, in order."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self.hash = file, 0, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
