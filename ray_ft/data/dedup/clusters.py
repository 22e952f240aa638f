"""Which documents are duplicates, which of them stay, and the split of each: drawn for a cluster as a whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ray_ft.data.dedup.columns import NONE_GIVEN, SPLITS, Columns, Flags, differs
from ray_ft.data.dedup.containment import Lists, common_edges, contained_in, joined, repeated_sections
from ray_ft.data.dedup.file_share import kept_shares
from ray_ft.data.dedup.heads import Head
from ray_ft.data.dedup.minhash import Indices, NearDuplicates
from ray_ft.data.dedup.placements import CONTAMINATED, DUPLICATE, LEAK, NEAR_DUPLICATE, REASONS, Placements
from ray_ft.data.dedup.splits import Bounds, position

Deduplicate = Literal["near", "exact", "none"]
TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class Placing:
    """How documents are placed."""

    bounds: Bounds
    seed: int
    deduplicate: Deduplicate = "near"
    threshold: float = 0.8
    max_file_share: float = 1.0
    common_lines: int = 0


def place(
    heads: Iterable[Head], *, how: Placing, text_of: Callable[[int], str], folder: Path | None = None
) -> Placements:
    """The placement of every document, in their order; those that cannot be used have a split all the same.

    The same documents are placed alike in any order, up to which of two equal ones comes first. What is too long for
    memory lies below `folder` until the placements' `documents` are closed.
    """
    return place_columns(Columns.of(heads, folder), how=how, text_of=text_of)


def place_columns(documents: Columns, *, how: Placing, text_of: Callable[[int], str]) -> Placements:
    """As `place`, of what is told of documents."""
    equal = documents.equal()
    contained = contained_in(documents, how.threshold) if how.deduplicate == "near" else {}
    clusters = _Clusters(
        documents, equal, joined(_with_near_duplicates(documents, equal, how, text_of), documents, contained)
    )
    split, bounds = clusters.splits(how)
    number = len(documents)
    reason, stays = np.zeros(number, dtype=np.uint8), np.full(number, -1, dtype=np.int64)
    contaminated = documents.is_usable & documents.is_contaminated
    reason[contaminated] = REASONS.index(CONTAMINATED)
    if how.deduplicate != "none":
        near = _Near(documents, how, text_of, contained)
        for members in clusters.several(documents.is_file & ~contaminated):
            for i, (why, kept) in _left_out(documents, members, equal, near).items():
                reason[i], stays[i] = REASONS.index(why), kept
    leaks = documents.is_usable & (documents.given < NONE_GIVEN) & (documents.given != split)
    reason[leaks], stays[leaks] = REASONS.index(LEAK), -1
    used, is_train = reason == 0, split == TRAIN
    lists = Lists(number)
    return Placements(
        documents,
        split,
        reason,
        stays,
        clusters.leaders(),
        repeated=repeated_sections(documents, used, is_train) if how.deduplicate != "none" else lists,
        common=common_edges(documents, used, is_train, how.common_lines) if how.common_lines else lists,
        kept=kept_shares(documents, used & is_train & documents.is_usable, how.max_file_share),
        num_clusters=int((clusters.counts > 1).sum()),
        num_near=clusters.num_near(),
        bounds=bounds,
    )


class _Clusters:
    """The usable documents in the order of their clusters."""

    def __init__(self, documents: Columns, equal: Indices, labels: Indices) -> None:
        self.documents, self.equal = documents, equal
        usable = np.flatnonzero(documents.is_usable)
        self.members = usable[np.lexsort((documents.second[usable], documents.first[usable], labels[usable]))]
        ordered = labels[self.members]
        self.is_first = differs(ordered)
        self.starts = np.flatnonzero(self.is_first)
        self.counts = np.diff(np.append(self.starts, len(ordered)))

    def leaders(self) -> Indices:
        """For each document the one whose key names its cluster: the least of all; -1 for what cannot be used."""
        leader = np.full(len(self.documents), -1, dtype=np.int64)
        leader[self.members] = np.repeat(self.members[self.starts], self.counts)
        return leader

    def splits(self, how: Placing) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], Bounds]:
        """The split of each document, the training split where it cannot be used, and the bounds they are drawn by.

        Bounds leave no split of a tiny corpus empty. Only what is divided by lot counts for them.
        """
        split = np.full(len(self.documents), TRAIN, dtype=np.uint8)
        if not len(self.members):
            return split, how.bounds
        given = np.minimum.reduceat(self.documents.given[self.members], self.starts)
        first = self.members[self.starts]
        lots = np.fromiter((position(self.documents.key(int(i)), seed=how.seed) for i in first), float, len(first))
        is_drawn = given == NONE_GIVEN
        bounds = how.bounds
        if is_drawn.any():
            drawn = lots[is_drawn]
            bounds = bounds.fitted(
                lowest=float(drawn.min()), highest=float(drawn.max()), num_documents=int(self.counts[is_drawn].sum())
            )
        by_lot = (lots >= bounds.test).astype(np.uint8) + (lots >= bounds.validation)
        split[self.members] = np.repeat(np.where(is_drawn, by_lot, given), self.counts)
        return split, bounds

    def several(self, chosen: Flags) -> Iterator[list[int]]:
        """The chosen documents of each cluster that has more than one of them, by their numbers."""
        large = self.counts > 1
        for start, count in zip(self.starts[large].tolist(), self.counts[large].tolist(), strict=True):
            members = self.members[start : start + count]
            members = np.sort(members[chosen[members]])
            if len(members) > 1:
                yield members.tolist()

    def num_near(self) -> int:
        """Documents that differ, of the clusters that hold several such."""
        if not len(self.members):
            return 0
        differing = np.add.reduceat(self.is_first | differs(self.equal[self.members]), self.starts, dtype=np.int64)
        return int(differing[differing > 1].sum())


def _with_near_duplicates(documents: Columns, equal: Indices, how: Placing, text_of: Callable[[int], str]) -> Indices:
    """For each document the first of its cluster. What is left out for another reason joins nothing."""
    signed = np.flatnonzero((documents.signed >= 0) & (equal == np.arange(len(documents))) & ~documents.is_contaminated)
    if not len(signed):
        return equal
    near = NearDuplicates(
        len(signed),
        lambda some: documents.signatures(documents.signed[signed[some]]),
        lambda i: text_of(int(signed[i])),
        how.threshold,
        documents.folder,
    )
    labels = np.arange(len(documents), dtype=np.int64)
    labels[signed] = signed[near.clusters()]
    made: Indices = labels[equal]
    return made


class _Near:
    """Whether a document is itself near to the one that stays: clusters join chains, whose ends may differ."""

    def __init__(
        self, documents: Columns, how: Placing, text_of: Callable[[int], str], contained: Mapping[int, int]
    ) -> None:
        self.documents, self.how, self.text_of, self.contained = documents, how, text_of, contained

    def __call__(self, first: int, second: int) -> bool:
        if self.contained.get(second) == first:
            return True
        pair = np.array([first, second])
        rows = self.documents.signed[pair]
        if (rows < 0).any():
            return False
        return NearDuplicates(
            2, lambda some: self.documents.signatures(rows[some]), lambda i: self.text_of(int(pair[i])),
            self.how.threshold,
        ).near(0, 1)  # fmt: skip


def _left_out(documents: Columns, files: Sequence[int], equal: Indices, near: _Near) -> Mapping[int, tuple[str, int]]:
    """Why files of a cluster are left out, and for which: of those that differ the best structured stays, then the

    longest; of equal ones the first. What stands in another is never the one that stays. Lines of datasets stay as they
    were given.
    """
    left_out: dict[int, tuple[str, int]] = {}
    stays: dict[int, int] = {}  # of equal files
    for i in files:
        kept = stays.setdefault(int(equal[i]), i)
        if kept != i:
            left_out[i] = DUPLICATE, kept
    if near.how.deduplicate == "near" and len(stays) > 1:
        best, *others = sorted(stays.values(), key=lambda i: (i in near.contained, *_worth(documents, i)))
        for i in others:
            if near(best, i):
                left_out[i] = NEAR_DUPLICATE, best
    return left_out


def _worth(documents: Columns, i: int) -> tuple[int, int, str]:
    """What is to stay comes first: a page with its headings before the same words without."""
    return -int(documents.structure[i]), -int(documents.size[i]), documents.name(i)
