"""Packs what a job takes along: the configuration, and of the relative files that it names those that its verb reads.

Absolute paths and URIs stay as they are: the cluster is expected to see them.
"""

import os
import stat
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import yaml

from ray_ft.config import Config, to_plain
from ray_ft.errors import ConfigError
from ray_ft.source_folders import TOOL_FOLDERS, is_marked

MAX_UPLOAD_BYTES = 512 * 2**20  # Ray keeps an upload in the head's key-value store, as one message
CONFIG_FILE = ".ray_ft/config.yaml"  # inside the upload; a folder of its own, because sources may hold a config.yaml
MAX_NAMED = 5  # files that are left behind for one reason, before they are counted
READS_SOURCES = ("prepare", "run", "sweep")
READS_QUESTIONS = ("evaluate", "run", "sweep")


FilesRead = Callable[[str], Iterable[tuple[Path, str]]]
"""The files of a source or dataset as prepare lists them, each with the reason why it is not read, or ""."""


@dataclass(frozen=True)
class Upload:
    """What was packed: files beside the configuration, and the sources that prepare could not use."""

    num_files: int
    num_bytes: int  # of the archive
    left_behind: tuple[str, ...]  # each with its reason


def pack_upload(
    config: Config,
    *,
    verb: str,
    archive: Path,
    config_path: str,
    files_read: FilesRead,
    max_bytes: int = MAX_UPLOAD_BYTES,
) -> Upload:
    """Write the zip archive that becomes the job's working directory; equal content gives equal bytes.

    Of sources and datasets go the files that `files_read` gives without a reason, and no others. Raises ConfigError for
    a relative path that is missing, lies outside of the current folder or makes the archive larger than `max_bytes`.
    """
    packed: set[str] = set()
    outputs = Path(config.output_dir).resolve()
    left_behind: dict[str, list[str]] = defaultdict(list)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        _write(zipped, CONFIG_FILE, yaml.safe_dump(to_plain(config), sort_keys=False).encode())
        for key, named in _relative_paths(config, verb):
            where = f"{config_path}: {key}: {named}"
            _check_is_below(named, where)
            is_data = key in ("data.sources", "data.datasets")
            for file, why_not in files_read(named) if is_data else ((f, "") for f in _files(named)):
                name = os.path.normpath(file)
                if name in packed or Path(name).resolve().is_relative_to(outputs):  # of earlier runs
                    continue
                if reason := why_not or _add(zipped, file, name):
                    if not is_data:
                        raise ConfigError(f"{where}: {name}: {reason}")
                    left_behind[reason].append(name)
                    continue
                packed.add(name)
                if archive.stat().st_size > max_bytes:
                    raise ConfigError(
                        f"{where} is larger than the {max_bytes / 2**20:.0f} MiB that a job takes along; put the files "
                        "on storage that the cluster sees and give their absolute path"
                    )
    told = (
        f"{', '.join(names) if len(names) <= MAX_NAMED else f'{len(names)} files, such as {names[0]}'} ({reason})"
        for reason, names in sorted(left_behind.items())
    )
    return Upload(num_files=len(packed), num_bytes=archive.stat().st_size, left_behind=tuple(told))


def _relative_paths(config: Config, verb: str) -> Iterator[tuple[str, str]]:
    """The config keys whose value is a path relative to the current folder, for those files that the verb reads."""
    named: list[tuple[str, str | None]] = [("model.chat_template", config.model.chat_template)]
    if Path(config.model.name).exists():  # else a hub id or builtin:NAME
        named.append(("model.name", config.model.name))
    if verb in READS_SOURCES:
        named += [("data.sources", source) for source in config.data.sources]
        named += [("data.datasets", dataset.path) for dataset in config.data.datasets]
    if verb in READS_QUESTIONS:
        named.append(("evaluation.questions", config.evaluation.questions))
        named.append(("evaluation.lm_eval_path", config.evaluation.lm_eval_path))
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


def _files(named: str) -> Iterator[Path]:
    """The files of a model or an adapter, in a fixed order; what is hidden or belongs to tools stays behind."""
    root = Path(named)
    if root.is_file():
        yield root
        return
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(s for s in subfolders if s not in TOOL_FOLDERS and not is_marked(Path(folder, s)))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _add(zipped: zipfile.ZipFile, file: Path, name: str) -> str:
    """Pack one file, or say why not."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        _write(zipped, name, file.read_bytes(), mode=status.st_mode)
    except OSError as error:
        return f"unreadable: {error.strerror}"
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    return ""


def _write(zipped: zipfile.ZipFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    # Without a fixed date Ray, which names uploads by their bytes, would send an unchanged one again.
    entry = zipfile.ZipInfo(PurePath(name).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = (mode & 0o777) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    zipped.writestr(entry, content)
