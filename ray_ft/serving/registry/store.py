"""The folder in which an endpoint keeps what it serves: made when it starts, deleted when it stops."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray_ft.config import Config
from ray_ft.errors import ConfigError
from ray_ft.models.added_tokens import with_added_tokens
from ray_ft.models.folder import resolve_model
from ray_ft.serving.registry.registry import FILE, Registry, create

PREFIX = "endpoint-"
ABANDONED_SECONDS = 7 * 24 * 3600
"""A folder in which nothing has changed for so long, whose endpoint was killed: the next one deletes it."""


def store_of_run(run_path: str | Path) -> Path:
    """Where endpoints of a run keep their folders, and what people have said of its answers."""
    return Path(run_path) / "serving"


def adapter_roots(config: Config) -> list[Path]:
    """Folders below which adapters may be loaded over HTTP."""
    return [Path(root).expanduser().resolve() for root in (config.output_dir, *config.serving.adapter_roots)]


def base_of(config: Config) -> str:
    """The base's folder, where no run has been trained yet that would name it. Raises ModelError."""
    model = config.model
    path = resolve_model(model.name, output_dir=config.output_dir, revision=model.revision)
    return with_added_tokens(path, model.added_tokens, output_dir=config.output_dir)


def new_store(parent: str | Path | None, *, base_path: str, base_name: str, adapters: Mapping[str, str]) -> Registry:
    """A folder of its own below `parent`, with the adapters that an endpoint begins with. Raises as `create`."""
    try:
        parent = Path(tempfile.mkdtemp(prefix="ray_ft-serving-") if parent is None else parent)
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        folder.chmod(0o755)  # replicas may run as somebody else
    except OSError as error:
        raise ConfigError(f"cannot keep adapters in {parent or tempfile.gettempdir()}: {error.strerror}") from None
    try:
        return create(folder, base_path=base_path, base_name=base_name, adapters=adapters)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def discarded(registry: Registry, *, at_end: bool) -> Iterator[None]:
    """Delete an endpoint's folder where its start fails, and `at_end` if it ends here."""
    try:
        yield
    except BaseException:
        at_end = True
        raise
    finally:
        if at_end:
            shutil.rmtree(registry.folder, ignore_errors=True)


def touch(folder: Path) -> None:
    """An endpoint says that it is alive."""
    os.utime(folder / FILE)


def _remove_abandoned(parent: Path) -> None:
    oldest = time.time() - ABANDONED_SECONDS
    for folder in parent.glob(f"{PREFIX}*"):
        file = folder / FILE
        if file.is_file() and file.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
