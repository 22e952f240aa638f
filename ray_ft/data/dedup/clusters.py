"""Which documents are duplicates, which of them stay, and the split of each: drawn for a cluster as a whole."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from ray_ft.data.dedup.containment import common_edges, contained_in, joined, repeated_sections
from ray_ft.data.dedup.file_share import kept_shares
from ray_ft.data.dedup.heads import Head
from ray_ft.data.dedup.minhash import NUM_PERMUTATIONS, Indices, NearDuplicates
from ray_ft.data.dedup.splits import Bounds, position
from ray_ft.rows import Split

Deduplicate = Literal["near", "exact", "none"]
GIVEN: tuple[Split, ...] = ("test", "validation", "train")  # a cluster goes with the first that one of it was given
DUPLICATE, NEAR_DUPLICATE, CONTAMINATED = "copy of another file", "near copy of another file", "in an evaluation set"
LEAK = "copy of a held-out line"


class Placement(NamedTuple):
    """What becomes of a document; `reason` says why it is left out."""

    split: Split
    reason: str = ""
    note: str = ""
    cluster: str = ""  # equal for duplicates and near duplicates, and for lines of one conversation
    repeated: tuple[int, ...] = ()  # sections of it that are trained, or tested, as another document's
    common: tuple[int, ...] = ()  # blocks at its head or foot that many documents have, and another one keeps
    kept: float = 1.0  # the share of its examples that is trained


@dataclass(frozen=True)
class Placing:
    """How documents are placed."""

    bounds: Bounds
    seed: int
    deduplicate: Deduplicate = "near"
    threshold: float = 0.8
    max_file_share: float = 1.0
    common_lines: int = 0


@dataclass
class Placements:
    """One placement for each document, and what was found on the way."""

    all: list[Placement]
    num_clusters: int = 0  # that hold more than one document
    num_near: int = 0  # documents that share a cluster without being equal
    bounds: Bounds = field(default_factory=lambda: Bounds(0.0, 0.0))


def place(heads: Sequence[Head], *, how: Placing, text_of: Callable[[int], str]) -> Placements:
    """The placement of every document, in their order; those that cannot be used have a split all the same.

    The same documents are placed alike in any order, up to which of two equal ones comes first.
    """
    usable = np.array([i for i, head in enumerate(heads) if head.is_usable], dtype=np.int64)
    equal = _equal(heads, usable)
    contained = contained_in(heads, how.threshold) if how.deduplicate == "near" else {}
    labels = joined(_with_near_duplicates(heads, equal, how, text_of), heads, contained)
    clusters: dict[int, list[int]] = defaultdict(list)
    for i in usable.tolist():
        clusters[int(labels[i])].append(i)
    keys = {label: min(heads[i].key for i in members) for label, members in clusters.items()}
    places = {label: position(key, seed=how.seed) for label, key in keys.items()}
    bounds = _fitted(heads, clusters, places, how.bounds)
    placed: list[Placement] = [Placement("train")] * len(heads)
    near = _Near(heads, how, text_of, contained)
    for label, members in clusters.items():
        split = _given(heads, members) or bounds.split(places[label])
        reasons = _reasons(heads, members, equal, near)
        for i in members:
            given = heads[i].given
            reason, note = reasons.get(i, ("", ""))
            if given and given != split:
                reason, note = LEAK, f"its copies are in {split}"
            placed[i] = Placement(split, reason, note, keys[label][:16])
    if how.deduplicate != "none":
        for i, again in repeated_sections(heads, placed).items():
            placed[i] = placed[i]._replace(repeated=again)
    if how.common_lines:
        for i, common in common_edges(heads, placed, how.common_lines).items():
            placed[i] = placed[i]._replace(common=common)
    for i, kept in kept_shares(heads, placed, how.max_file_share).items():
        placed[i] = placed[i]._replace(kept=kept)
    several = [m for m in clusters.values() if len(m) > 1]
    num_near = sum(len({int(equal[i]) for i in m}) for m in several if len({int(equal[i]) for i in m}) > 1)
    return Placements(placed, len(several), num_near, bounds)


def _equal(heads: Sequence[Head], usable: Indices) -> Indices:
    """For each document the first one of equal content."""
    first: dict[str, int] = {}
    equal = np.arange(len(heads), dtype=np.int64)
    for i in usable.tolist():
        equal[i] = first.setdefault(heads[i].key, i)
    return equal


def _with_near_duplicates(
    heads: Sequence[Head], equal: Indices, how: Placing, text_of: Callable[[int], str]
) -> Indices:
    """For each document the first of its cluster. What is left out for another reason joins nothing."""
    signed = [i for i, h in enumerate(heads) if h.signature and int(equal[i]) == i and not h.is_contaminated]
    if not signed:
        return equal
    signatures = np.frombuffer(b"".join(heads[i].signature for i in signed), dtype=np.uint32)
    near = NearDuplicates(
        signatures.reshape(len(signed), NUM_PERMUTATIONS), lambda i: text_of(signed[i]), how.threshold
    )
    labels = np.arange(len(heads), dtype=np.int64)
    indices = np.array(signed, dtype=np.int64)
    labels[indices] = indices[near.clusters()]
    joined: Indices = labels[equal]
    return joined


def _fitted(heads: Sequence[Head], clusters: dict[int, list[int]], places: dict[int, float], bounds: Bounds) -> Bounds:
    """Bounds that leave no split of a tiny corpus empty. Only what is divided by lot counts."""
    drawn = {label for label, members in clusters.items() if not _given(heads, members)}
    if not drawn:
        return bounds
    lots = [places[label] for label in drawn]
    num_documents = sum(len(clusters[label]) for label in drawn)
    return bounds.fitted(lowest=min(lots), highest=max(lots), num_documents=num_documents)


def _given(heads: Sequence[Head], members: Sequence[int]) -> Split | None:
    """The split that a dataset gives to one of the cluster, the held-out ones first."""
    given = {heads[i].given for i in members}
    return next((split for split in GIVEN if split in given), None)


class _Near:
    """Whether a document is itself near to the one that stays: clusters join chains, whose ends may differ."""

    def __init__(
        self, heads: Sequence[Head], how: Placing, text_of: Callable[[int], str], contained: Mapping[int, int]
    ) -> None:
        self.heads, self.how, self.text_of, self.contained = heads, how, text_of, contained

    def __call__(self, first: int, second: int) -> bool:
        if self.contained.get(second) == first:
            return True
        signatures = [np.frombuffer(self.heads[i].signature, dtype=np.uint32) for i in (first, second)]
        if not all(len(s) for s in signatures):
            return False
        pair = (first, second)
        return NearDuplicates(np.stack(signatures), lambda i: self.text_of(pair[i]), self.how.threshold).near(0, 1)


def _reasons(heads: Sequence[Head], members: Sequence[int], equal: Indices, near: _Near) -> dict[int, tuple[str, str]]:
    """Why files of a cluster are left out: of those that differ the best structured stays, then the longest; of equal

    ones the first. What stands in another is never the one that stays. Lines of datasets stay as they were given.
    """
    left_out = {i: (CONTAMINATED, "") for i in members if heads[i].is_contaminated}
    files = [i for i in members if heads[i].is_file and i not in left_out]
    if near.how.deduplicate == "none" or len(files) < 2:
        return left_out
    stays: dict[int, int] = {}  # of equal files
    for i in files:
        kept = stays.setdefault(int(equal[i]), i)
        if kept != i:
            left_out[i] = (DUPLICATE, f"of {heads[kept].name}")
    if near.how.deduplicate == "near":
        distinct = sorted(stays.values(), key=lambda i: (i in near.contained, *_worth(heads[i])))
        for i in distinct[1:]:
            if near(distinct[0], i):
                left_out[i] = (NEAR_DUPLICATE, f"of {heads[distinct[0]].name}")
    return left_out


def _worth(head: Head) -> tuple[int, int, str]:
    """What is to stay comes first: a page with its headings before the same words without."""
    return -head.structure, -head.size, head.name
