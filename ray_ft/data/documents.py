"""What documents are read from, and what became of each: files of the sources and lines of the datasets.

All steps of prepare share these; none of them lies below.
"""

from dataclasses import dataclass, field
from typing import Literal

from ray_ft.rows import Document, Example, Split

GUESSED, IN_UTF8 = "encoding guessed: ", "in UTF-8"
"""What notes of files begin with, or hold, that were not plainly in the encoding that they were read in."""
MIXED = "UTF-8 with other bytes"


@dataclass(frozen=True)
class SourceFile:
    """One file below a source. `path` is how the data names it; `reason` is set when it will not be read."""

    path: str
    location: str
    num_bytes: int
    reason: str = ""
    kind: str = ""  # of the source, a name in `sources.KINDS`; "" for files and folders
    content: str = ""  # differs when the content does; "" where only reading tells
    stamp: tuple[int, ...] = field(default=(), compare=False)  # of a file of this machine, when it was listed or read


@dataclass(frozen=True)
class ReadFile:
    """What became of one file; `document` is None unless status is ok."""

    file: SourceFile
    status: Literal["ok", "skipped", "quarantined"]  # quarantined: broken, another attempt may end otherwise
    reason: str = ""
    note: str = ""
    encoding: str = ""
    sha256: str = ""  # of the bytes that were read; "" where none were
    document: Document | None = None
    redacted: tuple[tuple[str, int], ...] = ()  # how much of it, by kind
    num_common: int = 0  # blocks that many documents begin or end with, and it is left without

    @property
    def content_id(self) -> str:
        """What tells one content from another in names and ids."""
        return self.sha256[:16]


def told_of_encoding(note: str) -> str:
    """What a file's note says of its encoding, without what is particular to the file; "" where it says nothing."""
    for part in note.split("; "):
        if part.startswith(GUESSED):
            return part.split(",")[0].removeprefix(GUESSED)
        if IN_UTF8 in part:
            return MIXED
    return ""


@dataclass(frozen=True)
class Record:
    """One line and what became of it: its examples, or the reason why there are none."""

    name: str  # file and line, as messages and tables name it
    dataset: str
    num_bytes: int
    split: Split | None = None  # None: drawn by the hash of `key`
    weight: float = 1.0
    format: str = ""
    reason: str = ""
    note: str = ""  # what in the line is wrong, or what of it was ignored
    key: str = ""  # equal for equal content
    text: str = ""  # of a line of plain text
    examples: tuple[Example, ...] = ()

    @property
    def id(self) -> str:
        """As a document's: the content's hash, then where it stands."""
        return f"{self.key[:16] or 'unread'}:{self.name}"

    @property
    def problem(self) -> str:
        """One line that names a line that cannot be used."""
        return f"{self.name}: {self.reason}{f': {self.note}' if self.note else ''}"
