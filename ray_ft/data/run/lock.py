"""One run at a time in a work folder: two would clean up after each other."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ray_ft.data.run.lease import leased
from ray_ft.data.run.place import Place
from ray_ft.errors import ConfigError, DataError
from ray_ft.locks import take_lock
from ray_ft.storage import is_uri
from ray_ft.storage.cache import cache_path


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
def held(output_path: str) -> Iterator[tuple[Place, Callable[[], None]]]:
    """Where a run keeps what is finished, with nobody else at work there; and what asks whether that is still so.

    Beside a folder it is OUTPUT_PATH.work. Below a URI it is the URI, with a folder of this machine for what only the
    driver reads. Raises ConfigError when another run is at work.
    """
    here = folder_here(output_path)
    if not is_uri(output_path):
        with locked(here):
            yield Place.of_folder(here), lambda: None
        return
    with leased(output_path) as lease, scratch(here):
        try:
            here.mkdir(parents=True)
        except OSError as error:
            raise DataError(f"cannot write {here}: {error.strerror}; RAY_FT_CACHE names another folder") from None
        yield Place(output_path, here), lease.check


def folder_here(output_path: str) -> Path:
    """The folder of this machine for what a run keeps, or for what only the driver reads where nodes share none."""
    if is_uri(output_path):
        return cache_path() / "work" / hashlib.sha256(output_path.encode()).hexdigest()[:16]
    return Path(f"{output_path}.work")


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """An empty folder for what a run needs while it is under way; what a killed one left in it goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
