"""Packs what a job takes along: the resolved configuration and the relative files that its verb reads.

Absolute paths and URIs stay as they are: the cluster is expected to see them.
"""

import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import yaml

from ray_ft.config import Config, to_plain
from ray_ft.errors import ConfigError
from ray_ft.source_folders import TOOL_FOLDERS, is_marked

MAX_UPLOAD_BYTES = 512 * 2**20  # Ray keeps an upload in the head's key-value store, as one message
CONFIG_FILE = ".ray_ft/config.yaml"  # inside the upload; a folder of its own, because sources may hold a config.yaml
READS_SOURCES = ("prepare", "run", "sweep")
READS_QUESTIONS = ("evaluate", "run", "sweep")


@dataclass(frozen=True)
class Upload:
    """What was packed: files beside the configuration, and the sources that prepare could not use."""

    num_files: int
    num_bytes: int  # of the archive
    left_behind: tuple[str, ...]  # each with its reason


def pack_upload(
    config: Config, *, verb: str, archive: Path, config_path: str, max_bytes: int = MAX_UPLOAD_BYTES
) -> Upload:
    """Write the zip archive that becomes the job's working directory; equal content gives equal bytes.

    Raises ConfigError for a relative path that is missing, lies outside of the current folder or makes the archive
    larger than `max_bytes`.
    """
    packed: set[str] = set()
    left_behind: list[str] = []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        _write(zipped, CONFIG_FILE, yaml.safe_dump(to_plain(config), sort_keys=False).encode())
        for key, named in _relative_paths(config, verb):
            where = f"{config_path}: {key}: {named}"
            _check_is_below(named, where)
            for file in _files(named, config):
                name = os.path.normpath(file)
                if name in packed:
                    continue
                is_source = key == "data.sources"  # what cannot be used there is skipped and counted by prepare
                if reason := _add(zipped, file, name, config.data.max_file_bytes if is_source else None):
                    if not is_source:
                        raise ConfigError(f"{where}: {name}: {reason}")
                    left_behind.append(f"{name} ({reason})")
                    continue
                packed.add(name)
                if archive.stat().st_size > max_bytes:
                    raise ConfigError(
                        f"{where} is larger than the {max_bytes / 2**20:.0f} MiB that a job takes along; put the files "
                        "on storage that the cluster sees and give their absolute path"
                    )
    return Upload(num_files=len(packed), num_bytes=archive.stat().st_size, left_behind=tuple(left_behind))


def _relative_paths(config: Config, verb: str) -> Iterator[tuple[str, str]]:
    """The config keys whose value is a path relative to the current folder, for those files that the verb reads."""
    named: list[tuple[str, str | None]] = [("model.chat_template", config.model.chat_template)]
    if Path(config.model.name).is_dir():  # else a hub id or builtin:NAME
        named.append(("model.name", config.model.name))
    if verb in READS_SOURCES:
        named += [("data.sources", source) for source in config.data.sources]
        named += [("data.datasets", dataset.path) for dataset in config.data.datasets]
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
    """The files of one path, in a fixed order; what belongs to other tools and to earlier runs stays behind."""
    from pathspec import GitIgnoreSpec

    root = Path(named)
    if root.is_file():
        yield root
        return
    is_source = named in config.data.sources
    keep = GitIgnoreSpec.from_lines(config.data.include if is_source and config.data.include else ["*"])
    drop = GitIgnoreSpec.from_lines(config.data.exclude if is_source else [])
    outputs = Path(config.output_dir).resolve()
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(s for s in subfolders if not _is_skipped(Path(folder, s), outputs))
        for name in sorted(files):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if keep.match_file(relative) and not drop.match_file(relative):
                yield path


def _is_skipped(folder: Path, outputs: Path) -> bool:
    return is_marked(folder) or folder.name in TOOL_FOLDERS or folder.resolve() == outputs


def _add(zipped: zipfile.ZipFile, file: Path, name: str, max_bytes: int | None) -> str:
    """Pack one file, or say why not."""
    try:
        status = file.stat()
        if max_bytes is not None and status.st_size > max_bytes:
            return "larger than data.max_file_bytes"
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
