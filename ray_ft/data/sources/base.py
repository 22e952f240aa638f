"""What a listed source gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

MAX_MEMBERS = 1_000_000  # of an archive or a revision; beyond it is no collection that somebody wrote


@dataclass(frozen=True)
class Entry:
    """One file of a source: its path below it, where it is read from, and what is known of it without reading."""

    relative: str
    location: str
    num_bytes: int
    reason: str = ""  # why it will not be read
    content: str = ""  # differs when the content does; "" where only reading tells
    head: Callable[[int], bytes] | None = None  # how it begins, where it can be read only before the next is listed
    taken: "Callable[[], Entry] | None" = None  # there, the same with its content looked at, or with the reason why not


def printable(path: str) -> str:
    """A path whose bytes are no UTF-8, with a mark for each of them: tables and prompts hold text only."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def plain(path: str) -> str:
    """A path of an archive or a repository as one below the source: no root, no way up."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    return "/".join(part for part in parts if part not in ("/", "..", ".")) or "unnamed"
