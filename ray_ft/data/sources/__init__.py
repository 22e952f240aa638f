"""Where files come from besides folders: revisions of git repositories, archives, and any URI of pyarrow or fsspec.

A source is listed where the job starts, and each file of it read where it is parsed, by a location that says it all:
nothing is checked out or unpacked into a folder, and no bytes travel between the two.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ray_ft.data.sources.archive import is_archive, list_archive, read_member
from ray_ft.data.sources.base import Entry
from ray_ft.data.sources.git import is_repository, list_revision, read_blob
from ray_ft.data.sources.remote import is_uri, list_uri, read_uri

__all__ = ["KINDS", "Entry", "Kind", "kind_of", "read_bytes"]


@dataclass(frozen=True)
class Kind:
    """How sources of a kind are known, listed and read; `read` raises OSError for what it cannot."""

    matches: Callable[[str], bool]
    list: Callable[[str], Iterator[Entry]]
    read: Callable[[str], bytes]


KINDS: dict[str, Kind] = {
    "git": Kind(is_repository, list_revision, read_blob),
    "uri": Kind(is_uri, list_uri, read_uri),
    "archive": Kind(is_archive, list_archive, read_member),
}


def kind_of(source: str) -> str:
    """The name of the source's kind, "" for files and folders."""
    return next((name for name, kind in KINDS.items() if kind.matches(source)), "")


def read_bytes(kind: str, location: str) -> bytes:
    """The bytes of a file, wherever it lies. Raises OSError, also for a link that took the place of a listed file."""
    if kind:
        return KINDS[kind].read(location)
    with open(location, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as stream:
        return stream.read()
