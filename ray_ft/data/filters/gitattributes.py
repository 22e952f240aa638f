"""What a repository says of itself in .gitattributes: which files are generated and which are others' code."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ray_ft.data.documents import SourceFile
from ray_ft.data.sources import read_bytes

if TYPE_CHECKING:
    from pathspec import PathSpec

ATTRIBUTES = ".gitattributes"
REASONS = {"linguist-generated": "generated", "linguist-vendored": "vendored"}
SET = re.compile(r"^(-?)(linguist-generated|linguist-vendored)(?:=(\w+))?$")
MAX_BYTES = 200_000
MAX_PATTERNS, MAX_STARS = 500, 2  # of a file, and in one part of a path: what has more takes for ever to fail
MAX_PATH = 4096


@dataclass(frozen=True)
class Marked:
    """Files below a folder that match the patterns have this attribute; patterns that begin with ! take it away."""

    folder: str
    reason: str
    patterns: tuple[str, ...]

    def holds(self, path: str) -> bool:
        """Whether a file, named as the data names it, is one of them."""
        inside = self.folder == "." or path.startswith(f"{self.folder}/")
        relative = path if self.folder == "." else path[len(self.folder) + 1 :]
        return inside and len(path) <= MAX_PATH and _spec(self.patterns).match_file(relative)


def marked_files(files: Iterable[SourceFile]) -> tuple[Marked, ...]:
    """The marks of every .gitattributes among the files, whether these are read themselves or not."""
    found: list[Marked] = []
    for file in files:
        path = PurePosixPath(file.path)
        if path.name == ATTRIBUTES and file.num_bytes <= MAX_BYTES:
            try:
                lines = read_bytes(file.kind, file.location).decode("utf-8", "replace").splitlines()
            except Exception:  # of archives and stores, whose errors share no base: what is not read tells nothing
                continue
            for attribute, reason in REASONS.items():
                if patterns := tuple(islice(_patterns(lines, attribute), MAX_PATTERNS)):
                    found.append(Marked(str(path.parent), reason, patterns))
    return tuple(found)


def reason_of(path: str, marks: Sequence[Marked]) -> str:
    """Why the repository would have the file left out, or nothing."""
    return next((mark.reason for mark in marks if mark.holds(path)), "")


def _patterns(lines: Iterable[str], attribute: str) -> Iterable[str]:
    """The patterns of an attribute in .gitignore's form, where the last one that matches counts, as it does here."""
    for line in lines:
        pattern, *attributes = line.split() or [""]
        if not pattern or pattern.startswith("#") or not _is_quick(pattern):
            continue
        for match in filter(None, map(SET.match, attributes)):
            if match.group(2) == attribute:
                is_off = match.group(1) == "-" or match.group(3) in ("false", "0")
                yield f"!{pattern}" if is_off else pattern


def _is_quick(pattern: str) -> bool:
    """Whether matching takes little time whatever the path is, as of every pattern that is written by hand."""
    parts = pattern.split("/")
    return parts.count("**") <= MAX_STARS and all(p.count("*") <= MAX_STARS and p.count("[") <= 4 for p in parts)


@lru_cache(maxsize=256)
def _spec(patterns: tuple[str, ...]) -> "PathSpec[Any]":
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)
