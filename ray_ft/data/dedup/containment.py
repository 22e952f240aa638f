"""What documents share that are no near duplicates: one that stands in another, and sections that come again.

Sections are known by the hash of their text, so all of this is counting: no document is held against another.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ray_ft.data.dedup.columns import HELD, Columns, Flags, Numbers, Records, Shared
from ray_ft.data.dedup.minhash import Indices, roots_of

MAX_HOLDERS = 32  # documents with a section; what more of them have is no sign that one contains another
MIN_CONTAINED_SIZE = 240  # characters of a document that is contained: a shorter one may be a common sentence
PAIRS_AT_A_TIME = 1 << 20


def contained_in(documents: Columns, threshold: float) -> dict[int, int]:
    """Files whose text stands to this share in a larger one, each with that one; chains end at the largest."""
    used = documents.is_file & documents.is_usable & ~documents.is_contaminated
    shared = np.zeros(len(documents))
    for part in Shared.of(documents.sections, used):
        shared += np.bincount(part.owner, weights=part.size, minlength=len(documents))
    may_be = (documents.total >= MIN_CONTAINED_SIZE) & (shared >= threshold * documents.total)
    if not may_be.any():
        return {}
    held = np.empty(0, dtype=HELD)  # of pairs: the larger document, the characters that it holds, and of which document
    for part in Shared.of(documents.sections, used):
        for pairs in _pairs(part, documents, may_be):
            held = _summed(np.concatenate([held, pairs]))
    held = held[held["size"] >= threshold * documents.total[held["owner"]]]
    found: dict[int, int] = {}
    most: dict[int, tuple[int, int, str]] = {}
    for other, size, i in held.tolist():
        worth = size, int(documents.size[other]), documents.name(other)
        if i not in most or worth > most[i]:
            found[i], most[i] = other, worth
    for i in found:
        while found[i] in found:
            found[i] = found[found[i]]
    return found


def _pairs(part: Shared, documents: Columns, may_be: Flags) -> Iterator[Numbers]:
    """Each document that may be contained with each larger one that has a section of it, as rows of HELD."""
    counts = part.counts
    for first, last in _portions(np.where(counts <= MAX_HOLDERS, counts, 0).astype(np.int64) ** 2):
        chosen = np.arange(first, last)[counts[first:last] <= MAX_HOLDERS]
        holders = counts[chosen]
        # Every place of a key once for each place of the same key.
        ones = _runs(part.start[chosen], holders)
        one = np.repeat(ones, np.repeat(holders, holders))
        other = _runs(np.repeat(part.start[chosen], holders), np.repeat(holders, holders))
        small, large = part.owner[one], part.owner[other]
        is_held = may_be[small] & (documents.size[large] > documents.size[small])
        rows = np.empty(int(is_held.sum()), dtype=HELD)
        rows["key"], rows["owner"], rows["size"] = large[is_held], small[is_held], part.size[one][is_held]
        yield rows


def _portions(work: Indices) -> Iterator[tuple[int, int]]:
    """Ranges of keys that are PAIRS_AT_A_TIME together, or one key."""
    done = np.cumsum(work)
    first = 0
    while first < len(work):
        before = int(done[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(done, before + PAIRS_AT_A_TIME, side="right")))
        yield first, last
        first = last


def _runs(starts: Indices, lengths: Indices) -> Indices:
    """start, start + 1, ... of every run, one after the other."""
    ends = np.cumsum(lengths)
    made: Indices = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return made


def _summed(rows: Numbers) -> Numbers:
    """Rows of HELD with the sizes of equal pairs together."""
    if not len(rows):
        return rows
    rows = rows[np.lexsort((rows["key"], rows["owner"]))]
    starts = np.flatnonzero(np.append(True, (np.diff(rows["key"]) != 0) | (np.diff(rows["owner"]) != 0)))
    summed = rows[starts]
    summed["size"] = np.add.reduceat(rows["size"], starts)
    return summed


def joined(labels: Indices, documents: Columns, contained: Mapping[int, int]) -> Indices:
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
    threaded = np.flatnonzero((documents.thread != 0) & documents.is_usable)
    order = threaded[np.argsort(documents.thread[threaded], kind="stable")]
    threads = documents.thread[order]
    for place in np.flatnonzero(threads[1:] == threads[:-1]).tolist():
        join(int(order[place]), int(order[place + 1]))
    made: Indices = roots_of(parent)[labels]
    return made


class Lists:
    """Some keys of each document, by its number; most have none."""

    def __init__(self, num_documents: int) -> None:
        self.keys: Numbers = np.empty(0, dtype=np.uint64)
        self.ends: Numbers = np.zeros(num_documents, dtype=np.int64)

    @staticmethod
    def of(records: Records, num_documents: int) -> "Lists":
        """The keys of all records, each document's in ascending order; they stay in a file where they are many."""
        made = Lists(num_documents)
        counts = np.zeros(num_documents, dtype=np.int64)
        path = records.path.with_suffix(".sorted")
        with path.open("wb") as stream:
            for rows in records.parts("owner", max(num_documents, 1)):
                rows = rows[np.lexsort((rows["key"], rows["owner"]))]
                stream.write(rows["key"].tobytes())
                counts += np.bincount(rows["owner"], minlength=num_documents)
        if path.stat().st_size:
            made.keys = np.memmap(path, dtype=np.uint64, mode="r")
        made.ends = np.cumsum(counts)
        return made

    def __getitem__(self, number: int) -> tuple[int, ...]:
        start = int(self.ends[number - 1]) if number else 0
        return tuple(self.keys[start : int(self.ends[number])].tolist())


def repeated_sections(documents: Columns, used: Flags, is_train: Flags) -> Lists:
    """Of each used document the sections that another one has too, but for the one that keeps each of them.

    One of the training split keeps it where there is one, so that nothing held out is trained; the first by content.
    """
    return _again(documents, documents.sections, used, is_train, 2)


def common_edges(documents: Columns, used: Flags, is_train: Flags, least: int) -> Lists:
    """Of each used document the blocks at its edges that at least this many have, but for the one that keeps each.

    As a section that comes again, a block is kept by the first file of the training split, so nothing is lost.
    """
    return _again(documents, documents.edges, used, is_train, least)


def _again(documents: Columns, held: Records, used: Flags, is_train: Flags, least: int) -> Lists:
    """What at least so many of the used documents have, for each but the first: of training, then by content."""
    rank = documents.by_key()
    lost = Records(held.path.with_name(f"{held.path.name}-again"))
    for part in Shared.of(held, used):
        counts = part.counts
        of_key = np.repeat(np.arange(len(counts)), counts)
        order = np.lexsort((rank[part.owner], ~is_train[part.owner], of_key))
        is_kept = np.zeros(len(order), dtype=bool)
        is_kept[part.start[:-1]] = True  # the first of each key in that order
        chosen = order[~is_kept & np.repeat(counts >= least, counts)]
        rows = np.zeros(len(chosen), dtype=HELD)
        rows["key"], rows["owner"] = part.key[chosen], part.owner[chosen]
        lost.add(rows)
    made = Lists.of(lost, len(documents))
    lost.stream.close()
    return made


def edge_counts(documents: Columns, used: Flags, least: int) -> dict[int, int]:
    """Blocks at the edges of at least this many used files, with the number of these, the most frequent first."""
    found: list[tuple[int, int]] = []
    for part in Shared.of(documents.edges, used):
        counts = part.counts
        many = counts >= least
        found += zip(counts[many].tolist(), part.key[part.start[:-1][many]].tolist(), strict=True)
    return {key: n for n, key in sorted(found, reverse=True)}


def first_with(documents: Columns, keys: Sequence[int]) -> dict[int, int]:
    """The first document that has each of some edges."""
    first: dict[int, int] = {}
    wanted = np.array(keys, dtype=np.uint64)
    for rows in documents.edges.portions():
        for key, _, owner in rows[np.isin(rows["key"], wanted)].tolist():
            first.setdefault(key, owner)
    return {key: first[key] for key in keys if key in first}
