"""One run at a time in a work folder: two would clean up after each other."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ray_ft.errors import ConfigError, DataError
from ray_ft.locks import take_lock


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the work folder, which is made where there is none. Raises ConfigError when another run does."""
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mine = take_lock(held.enter_context((folder / "lock").open("w")))
        except OSError as error:
            raise DataError(f"cannot write {folder}: {error.strerror}") from None
        if not mine:
            raise ConfigError(
                f"another `ray-ft prepare` is at work in {folder.parent}; wait for it, or choose another run_name"
            )
        yield


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """An empty folder for what a run needs while it is under way; what a killed one left in it goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
