"""What becomes of each document: its split, and why it is left out where it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ray_ft.data.dedup.columns import SPLITS, Columns
from ray_ft.data.dedup.containment import Lists
from ray_ft.data.dedup.minhash import Indices
from ray_ft.data.dedup.splits import Bounds
from ray_ft.rows import Split

DUPLICATE, NEAR_DUPLICATE, CONTAMINATED = "copy of another file", "near copy of another file", "in an evaluation set"
LEAK = "copy of a held-out line"
REASONS = ("", DUPLICATE, NEAR_DUPLICATE, CONTAMINATED, LEAK)


class Placement(NamedTuple):
    """What becomes of a document; `reason` says why it is left out."""

    split: Split
    reason: str = ""
    note: str = ""
    cluster: str = ""  # equal for duplicates and near duplicates, and for lines of one conversation
    repeated: tuple[int, ...] = ()  # sections of it that are trained, or tested, as another document's
    common: tuple[int, ...] = ()  # blocks at its head or foot that many documents have, and another one keeps
    kept: float = 1.0  # the share of its examples that is trained


@dataclass
class Placements:
    """One placement for each document, as arrays, and what was found on the way."""

    documents: Columns
    split: npt.NDArray[np.uint8]  # its place in SPLITS
    reason: npt.NDArray[np.uint8]  # its place in REASONS
    stays: npt.NDArray[np.int64]  # the document that one is left out for; -1: none
    leader: Indices  # of each document's cluster the one whose key names it; -1: in none
    repeated: Lists
    common: Lists
    kept: Mapping[int, float] = field(default_factory=dict)
    num_clusters: int = 0  # that hold more than one document
    num_near: int = 0  # documents that share a cluster without being equal
    bounds: Bounds = field(default_factory=lambda: Bounds(0.0, 0.0))

    def __len__(self) -> int:
        return len(self.split)

    def of(self, number: int) -> Placement:
        """The placement of a document."""
        split, reason = SPLITS[self.split[number]], REASONS[self.reason[number]]
        stays, leader = int(self.stays[number]), int(self.leader[number])
        note = f"of {self.documents.name(stays)}" if stays >= 0 else ""
        return Placement(
            split,
            reason,
            f"its copies are in {split}" if reason == LEAK else note,
            "" if leader < 0 else self.documents.key(leader)[:16],
            self.repeated[number],
            self.common[number],
            self.kept.get(number, 1.0),
        )

    @property
    def all(self) -> list[Placement]:
        """Every placement, in the order of the documents: for a few thousand."""
        return [self.of(number) for number in range(len(self))]


class PlacedItems(Sequence[tuple[Placement, ...]]):
    """The placements of each item's documents, made when they are asked for."""

    def __init__(self, placements: Placements, ends: Indices) -> None:
        self.placements = placements
        self.ends = ends  # of each item's documents among all

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, item: Any) -> Any:
        if not 0 <= item < len(self):
            raise IndexError(item)
        start = int(self.ends[item - 1]) if item else 0
        return tuple(self.placements.of(number) for number in range(start, int(self.ends[item])))

    def __iter__(self) -> Iterator[tuple[Placement, ...]]:
        return (self[item] for item in range(len(self)))
