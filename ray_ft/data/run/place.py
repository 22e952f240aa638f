"""Where a run keeps what all nodes have to find: a folder that they share, or below a URI."""

from dataclasses import dataclass
from pathlib import Path

from ray_ft.data.run.segments import Journals
from ray_ft.storage import Store, is_uri, joined

PARSED = "parsed"  # folder of the journals
GROUPS = "groups"  # folder of the groups' folders
TOKENIZER = "tokenizer"  # folder of the copy that workers load
SCRATCH = "scratch"  # folder of what only a run that is under way needs
MADE = "made"  # files of sets that are no group's, in storage
TRIES = "tries"  # notes on batches that a run began, in storage


@dataclass(frozen=True)
class Place:
    """The folder or the URI, and a folder of this machine beside it, which is the same one where there is no URI."""

    root: str
    here: Path

    @staticmethod
    def of_folder(folder: Path) -> "Place":
        """A folder that all nodes see."""
        return Place(str(folder), folder)

    @property
    def is_stored(self) -> bool:
        """Whether nodes share no folder."""
        return is_uri(self.root)

    @property
    def store(self) -> Store:
        """The objects of one that is stored."""
        return Store(self.root)

    def below(self, name: str) -> str:
        """The folder or the URI of something."""
        return joined(self.root, name) if self.is_stored else str(Path(self.root) / name)

    @property
    def journals(self) -> Journals:
        """What is parsed."""
        return Journals(self.below(PARSED), self.here / PARSED)

    @property
    def tasks(self) -> str:
        """Where work lies that is on its way to nodes."""
        return self.below(SCRATCH)

    @property
    def tries(self) -> str:
        """Where notes on what was begun lie; "" where journals hold them."""
        return self.below(TRIES) if self.is_stored else ""
