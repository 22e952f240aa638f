"""Folders below a source that nobody wrote: of version control, of tools, environments, caches and runs of ray_ft."""

from pathlib import Path

TOOL_FOLDERS = frozenset({".git", ".hg", ".svn", ".venv", "node_modules", "__pycache__"})
MARKS = ("pyvenv.cfg", "CACHEDIR.TAG", "training_set.json")
"""Files that mark a folder as nobody's source: a virtual environment, a cache, a run folder of ray_ft."""


def is_marked(folder: Path) -> bool:
    """Whether a file in it says that the folder is nobody's source; one that cannot be looked into is somebody's."""
    try:
        return any((folder / mark).exists() for mark in MARKS)
    except PermissionError:
        return False
