"""The user's cache: bases that are fetched or converted once for each machine, each in a folder that is there whole."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ray_ft.errors import ConfigError
from ray_ft.locks import waiting_lock
from ray_ft.storage.cache import cache_path

PROVENANCE = "ray_ft_source.json"


def kept_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name in the cache; `make` fills it, once, while other processes wait.

    It is made under another name and appears when it is whole: what was killed leaves nothing that looks like it.
    Raises ConfigError where the cache cannot be written.
    """
    cache = cache_path()
    target = cache / name
    if (target / PROVENANCE).is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with waiting_lock(cache / f".{name}.lock"):
            if (target / PROVENANCE).is_file():  # another process was first
                return target
            for left in cache.glob(f".{name}-*.partial"):  # nobody else is at work on it
                shutil.rmtree(left, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".partial", dir=cache))
            try:
                make(partial)
                partial.chmod(0o755)  # mkdtemp makes it private
                for file in partial.iterdir():
                    file.chmod(0o644)
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {cache}: {error.strerror or error}; RAY_FT_CACHE names another folder"
        ) from None
    return target


def write_provenance(folder: Path, about: Mapping[str, str]) -> None:
    """Say where a folder's weights are from: what the reports tell, and the sign that the folder is whole."""
    (folder / PROVENANCE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def provenance_of(model_path: str | Path) -> dict[str, str]:
    """Where a base in the cache is from; nothing for any other."""
    file = Path(model_path) / PROVENANCE
    about: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return about
