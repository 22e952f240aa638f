"""One run at a time in a work folder: two would clean up after each other."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray_ft.errors import ConfigError, DataError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the work folder, which is made where there is none. Raises ConfigError when another run does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another `ray-ft prepare` is at work in {folder.parent}; wait for it, or choose another run_name"
            ) from None
        yield
