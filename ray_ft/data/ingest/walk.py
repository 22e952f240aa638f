"""Goes through a folder of sources: what lies in it, in the order of paths, but for what some tool made for itself."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ray_ft.config import DataConfig
from ray_ft.errors import ConfigError
from ray_ft.source_folders import TOOL_FOLDERS, is_marked

if TYPE_CHECKING:
    from pathspec import PathSpec

SKIPPED_FOLDERS = TOOL_FOLDERS | {
    ".bzr", ".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache",
    ".ipynb_checkpoints", ".idea", ".vscode",
}  # fmt: skip


CLOSED = "a folder that cannot be read"


class Found(NamedTuple):
    """A file below a folder, or a folder that cannot be looked into."""

    location: str
    relative: str  # its path below the folder; "" for a source that is a file itself
    is_link: bool = False
    real: str = ""  # its path without links, where it is known
    problem: str = ""


def walk(root: Path, data: DataConfig) -> Iterator[Found]:
    """Files below a folder in the order of their paths; a file itself, with "". Raises OSError for the folder."""
    if stat.S_ISDIR(root.stat().st_mode):
        drop = _patterns(data.exclude, "data.exclude")
        for found in _below(str(root), "", os.path.realpath(root), chosen_paths(data)):
            if not found.problem or drop is None or not drop.match_file(f"{found.relative}/"):
                yield found
    else:
        yield Found(str(root), "", root.is_symlink())


def _below(folder: str, prefix: str, real: str, chosen: Callable[[str], bool]) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        named = sorted((f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name, e.is_symlink()) for e in entries)
    for name, is_link in named:
        location, relative = f"{folder}/{name}", prefix + name
        if not name.endswith("/"):
            if (not is_link or not Path(location).is_dir()) and chosen(relative):
                yield Found(location, relative, is_link, "" if is_link else f"{real}/{name}")
        elif not is_skipped(Path(location)):
            try:
                yield from _below(location[:-1], relative, f"{real}/{name[:-1]}", chosen)
            except OSError as error:
                if error.filename != location[:-1]:
                    raise
                yield Found(location[:-1], relative[:-1], problem=CLOSED)


def chosen_paths(data: DataConfig) -> Callable[[str], bool]:
    """Whether data.include and data.exclude leave a path below a source."""
    keep, drop = _patterns(data.include, "data.include"), _patterns(data.exclude, "data.exclude")
    return lambda path: (keep is None or keep.match_file(path)) and not (drop is not None and drop.match_file(path))


def is_skipped(folder: Path) -> bool:
    return is_tools(folder.name) or is_marked(folder)


def is_tools(name: str) -> bool:
    """A folder that some tool made for itself."""
    return name in SKIPPED_FOLDERS or name.endswith((".egg-info", ".dist-info"))


def _patterns(globs: Iterable[str], key: str) -> "PathSpec[Any] | None":
    """Patterns with the meaning they have in .gitignore: `*.md` at any depth, `docs/` with all below it."""
    from pathspec import GitIgnoreSpec

    globs = list(globs)
    try:
        return GitIgnoreSpec.from_lines(globs) if globs else None
    except ValueError as error:
        raise ConfigError(f"{key}: {error}; write patterns as in .gitignore, e.g. docs/**/*.md") from None
