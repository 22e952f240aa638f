"""What documents share that are no near duplicates: one that stands in another, and sections that come again.

Sections are known by the hash of their text, so all of this is counting: no document is held against another.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from ray_ft.data.dedup.heads import EDGE, SECTION, Head
from ray_ft.data.dedup.minhash import Indices
from ray_ft.rows import Split

MAX_HOLDERS = 32  # documents with a section; what more of them have is no sign that one contains another
MIN_CONTAINED_SIZE = 240  # characters of a document that is contained: a shorter one may be a common sentence


class Placed(Protocol):
    """What is read of a placement."""

    @property
    def split(self) -> Split:
        """Where the document is."""
        ...

    @property
    def reason(self) -> str:
        """Why it is left out, if it is."""
        ...


def contained_in(heads: Sequence[Head], threshold: float) -> dict[int, int]:
    """Files whose text stands to this share in a larger one, each with that one; chains end at the largest."""
    shared = shared_sections(heads, [h.is_file and h.is_usable and not h.is_contaminated for h in heads])
    holders: dict[int, list[int]] = defaultdict(list)
    for i, sections in shared.items():
        for key in sections:
            holders[key].append(i)
    found: dict[int, int] = {}
    for i, sections in shared.items():
        total = int(np.frombuffer(heads[i].sections, dtype=SECTION)["size"].sum())
        if total < MIN_CONTAINED_SIZE or sum(sections.values()) < threshold * total:
            continue
        held: Counter[int] = Counter()
        for key, size in sections.items():
            if len(holders[key]) <= MAX_HOLDERS:
                held.update({other: size for other in holders[key] if heads[other].size > heads[i].size})
        best = max(held, key=lambda other: (held[other], heads[other].size, heads[other].name), default=None)
        if best is not None and held[best] >= threshold * total:
            found[i] = best
    for i in found:
        while found[i] in found:
            found[i] = found[found[i]]
    return found


def shared_sections(heads: Sequence[Head], used: Sequence[bool]) -> dict[int, dict[int, int]]:
    """Of each used document the sections that another one has too, with all their characters in it."""
    counts = np.array([len(h.sections) // SECTION.itemsize if use else 0 for h, use in zip(heads, used, strict=True)])
    every = np.frombuffer(b"".join(h.sections for h, n in zip(heads, counts, strict=True) if n), dtype=SECTION)
    owners = np.repeat(np.arange(len(heads)), counts)
    _, section = np.unique(every["key"], return_inverse=True)
    pairs = np.unique(np.stack([section, owners], axis=1), axis=0) if len(every) else np.empty((0, 2), dtype=np.int64)
    num_owners = np.bincount(pairs[:, 0], minlength=1)
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for place in np.flatnonzero(num_owners[section] > 1) if len(every) else ():
        key, owner = int(every["key"][place]), int(owners[place])
        found[owner][key] = found[owner].get(key, 0) + int(every["size"][place])
    return dict(found)


def joined(labels: Indices, heads: Sequence[Head], contained: Mapping[int, int]) -> Indices:
    """The clusters, joined where one document holds another and where lines belong to one conversation."""
    parent = np.arange(len(labels), dtype=np.int64)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    def join(i: int, j: int) -> None:
        a, b = root(int(labels[i])), root(int(labels[j]))
        parent[max(a, b)] = min(a, b)

    for i, other in contained.items():
        join(i, other)
    first: dict[int, int] = {}
    for i, head in enumerate(heads):
        if head.thread and head.is_usable:
            join(i, first.setdefault(head.thread, i))
    return np.array([root(int(label)) for label in labels], dtype=np.int64)


def repeated_sections(heads: Sequence[Head], placed: Sequence[Placed]) -> dict[int, tuple[int, ...]]:
    """Of each file the sections that another one has too, but for the one file that keeps each of them.

    A file of the training split keeps it where there is one, so that nothing held out is trained; the first by content.
    """
    keeper: dict[int, tuple[bool, str, int]] = {}
    shared = shared_sections(heads, [not placement.reason for placement in placed])
    for i, sections in shared.items():
        mine = (placed[i].split != "train", heads[i].key, i)
        for key in sections:
            keeper[key] = min(keeper.get(key, mine), mine)
    again = {i: tuple(sorted(k for k in sections if keeper[k][2] != i)) for i, sections in shared.items()}
    return {i: keys for i, keys in again.items() if keys}


def edge_counts(heads: Sequence[Head], placed: Sequence[Placed], least: int) -> dict[int, int]:
    """Blocks at the edges of at least this many files, with the number of these, the most frequent first."""
    keys = [np.unique(np.frombuffer(h.edges, dtype=EDGE)) for h, p in zip(heads, placed, strict=True) if not p.reason]
    if not keys:
        return {}
    found, counts = np.unique(np.concatenate(keys), return_counts=True)
    common = sorted(zip(counts.tolist(), found.tolist(), strict=True), reverse=True)
    return {key: n for n, key in common if n >= least}


def common_edges(heads: Sequence[Head], placed: Sequence[Placed], least: int) -> dict[int, tuple[int, ...]]:
    """Of each file the blocks at its edges that at least this many files have, but for the one file that keeps each.

    As a section that comes again, a block is kept by the first file of the training split, so nothing is lost.
    """
    common = edge_counts(heads, placed, least).keys()
    used = [i for i, h in enumerate(heads) if common and h.edges and not placed[i].reason]
    kept: set[int] = set()
    again: dict[int, tuple[int, ...]] = {}
    for i in sorted(used, key=lambda i: (placed[i].split != "train", heads[i].key, i)):
        mine = common & set(np.frombuffer(heads[i].edges, dtype=EDGE).tolist())
        if mine & kept:
            again[i] = tuple(sorted(mine & kept))
        kept |= mine
    return again
