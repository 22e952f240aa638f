"""Packs what a job takes along: the resolved configuration and the relative files that its verb reads.

Absolute paths and URIs stay as they are: the cluster is expected to see them.
"""

import fnmatch
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import yaml

from ray_ft.config import Config, DataConfig, to_plain
from ray_ft.errors import ConfigError

MAX_UPLOAD_BYTES = 512 * 2**20  # Ray keeps an upload in the head's key-value store, as one message
CONFIG_FILE = ".ray_ft/config.yaml"  # inside the upload; a folder of its own, because sources may hold a config.yaml
SKIPPED_FOLDERS = frozenset({
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__",
    ".mypy_cache", ".ruff_cache", ".pytest_cache",
})  # fmt: skip
READS_SOURCES = ("prepare", "run")
READS_QUESTIONS = ("evaluate", "run")


@dataclass(frozen=True)
class Upload:
    """What was packed: files beside the configuration, and those that prepare would skip for their size."""

    num_files: int
    num_bytes: int  # of the archive
    too_large: tuple[str, ...]


def pack_upload(
    config: Config, *, verb: str, archive: Path, config_path: str, max_bytes: int = MAX_UPLOAD_BYTES
) -> Upload:
    """Write the zip archive that becomes the job's working directory; equal content gives equal bytes.

    Raises ConfigError for a relative path that is missing, lies outside of the current folder or makes the archive
    larger than `max_bytes`.
    """
    packed: set[str] = set()
    too_large: list[str] = []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        _write(zipped, CONFIG_FILE, yaml.safe_dump(to_plain(config), sort_keys=False).encode())
        for key, named in _relative_paths(config, verb):
            where = f"{config_path}: {key}: {named}"
            _check_is_below(named, where)
            for file in _files(named, config):
                name = os.path.normpath(file)
                if name in packed or name in too_large:
                    continue
                if key == "data.sources" and file.stat().st_size > config.data.max_file_bytes:
                    too_large.append(name)
                    continue
                _add(zipped, file, name=name, where=where)
                packed.add(name)
                if archive.stat().st_size > max_bytes:
                    raise ConfigError(
                        f"{where} is larger than the {max_bytes / 2**20:.0f} MiB that a job takes along; put the files "
                        "on storage that the cluster sees and give their absolute path"
                    )
    return Upload(num_files=len(packed), num_bytes=archive.stat().st_size, too_large=tuple(too_large))


def _relative_paths(config: Config, verb: str) -> Iterator[tuple[str, str]]:
    """The config keys whose value is a path relative to the current folder, for those files that the verb reads."""
    named: list[tuple[str, str | None]] = [("model.chat_template", config.model.chat_template)]
    if Path(config.model.name).is_dir():  # else a hub id or builtin:NAME
        named.append(("model.name", config.model.name))
    if verb in READS_SOURCES:
        named += [("data.sources", source) for source in config.data.sources]
    if verb in READS_QUESTIONS:
        named.append(("evaluation.questions", config.evaluation.questions))
    if verb == "serve":
        named += [(f"serving.adapters.{name}", folder) for name, folder in config.serving.adapters.items()]
    for key, path in named:
        if path is not None and "://" not in path and not path.startswith("~") and not Path(path).is_absolute():
            yield key, path


def _check_is_below(named: str, where: str) -> None:
    """A relative path keeps its meaning in the job's working directory only when it is below the current folder."""
    if not Path(named).exists():
        raise ConfigError(f"{where}: no such file or folder in {Path.cwd()}")
    if PurePath(os.path.normpath(named)).parts[:1] == ("..",):
        raise ConfigError(
            f"{where} lies outside of {Path.cwd()}, so the job would not find it; submit from a folder that holds it, "
            "or give an absolute path that the cluster sees"
        )


def _files(named: str, config: Config) -> Iterator[Path]:
    """The files of one path, in a fixed order; folders of other tools and of earlier runs stay behind."""
    root = Path(named)
    if root.is_file():
        yield root
        return
    outputs = Path(config.output_dir).resolve()
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(
            name for name in subfolders if name not in SKIPPED_FOLDERS and Path(folder, name).resolve() != outputs
        )
        for name in sorted(files):
            path = Path(folder, name)
            if named not in config.data.sources or _is_wanted(path.relative_to(root), config.data):
                yield path


def _is_wanted(relative: PurePath, data: DataConfig) -> bool:
    """Whether include and exclude may keep a file; in doubt it is taken along, and prepare decides on the cluster."""
    text = relative.as_posix()
    included = not data.include or any(fnmatch.fnmatch(text, p) or relative.match(p) for p in data.include)
    return included and not any(fnmatch.fnmatch(text, p) and relative.match(p) for p in data.exclude)


def _add(zipped: zipfile.ZipFile, file: Path, *, name: str, where: str) -> None:
    try:
        _write(zipped, name, file.read_bytes(), mode=file.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"{where}: cannot read {name}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: the name of {name!r} is not valid UTF-8") from None


def _write(zipped: zipfile.ZipFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    # Without a fixed date Ray, which names uploads by their bytes, would send an unchanged one again.
    entry = zipfile.ZipInfo(PurePath(name).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = (mode & 0o777) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    zipped.writestr(entry, content)
