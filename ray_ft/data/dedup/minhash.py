"""Near duplicates: MinHash signatures, candidates that share a band of one, and verified pairs joined into clusters.

A pair is near when the Jaccard similarity of its shingles reaches the threshold. Signatures say so where they are
clear; where they are not, the texts themselves are compared, so that luck of a signature neither joins nor parts.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ray_ft.data.dedup.shingles import Hashes, shingles, similarity

Signatures = npt.NDArray[np.uint32]  # [documents, NUM_PERMUTATIONS]
Indices = npt.NDArray[np.int64]

NUM_PERMUTATIONS = 128
SIGNATURE_SEED = 1
MIN_SHINGLES = 8  # of shorter texts, nothing but equality tells duplicates
WANTED_RECALL = 0.995  # of pairs right at the threshold, among candidates
UNCLEAR = 0.1  # around the threshold; three standard deviations of a signature's estimate: 3 * sqrt(0.8 * 0.2 / 128)
MAX_BUCKET = 64  # documents of one bucket that are all compared with each other
CHUNK = 1 << 14  # pairs or documents whose signatures are in memory
KEPT_SHINGLES = 2048  # documents whose shingles stay in memory while pairs are compared


def signature(hashes: Hashes) -> Signatures | None:
    """The MinHash signature of a document's shingles; None for those of a text too short to have near duplicates."""
    from rensa import RMinHash

    if len(hashes) < MIN_SHINGLES:
        return None
    offsets = np.array([0, len(hashes)], dtype=np.uint64)
    made = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, NUM_PERMUTATIONS, SIGNATURE_SEED)
    return np.array(made.to_rows()[0], dtype=np.uint32)


def rows_per_band(threshold: float) -> int:
    """The longest bands by which WANTED_RECALL of the pairs at the threshold still become candidates.

    A pair of similarity s shares a band of r rows with probability s**r, hence one of n/r bands with 1-(1-s**r)**(n/r)
    (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4).
    """
    return max(
        (r for r in range(1, 33) if 1 - (1 - threshold**r) ** (NUM_PERMUTATIONS // r) >= WANTED_RECALL), default=1
    )


class NearDuplicates:
    """Compares documents by signature and, where that is unclear, by the texts that `text_of` fetches.

    `signatures` gives the rows of some of the `number` documents, a portion at a time, so that they may lie on disk.
    Bands are kept in a file below `folder`, or in memory where there is none.
    """

    def __init__(
        self,
        number: int,
        signatures: Callable[[Indices], Signatures],
        text_of: Callable[[int], str],
        threshold: float,
        folder: Path | None = None,
    ) -> None:
        self.number = number
        self.signatures = signatures
        self.threshold = threshold
        self.folder = folder
        self._shingles = lru_cache(KEPT_SHINGLES)(lambda i: np.unique(shingles(text_of(i))))

    def clusters(self) -> Indices:
        """For each document the lowest index of its cluster; its own where it has no near duplicate."""
        parent = np.arange(self.number, dtype=np.int64)
        rejected: set[tuple[int, int]] = set()
        for keys in self._bands():
            for pairs in _candidates(keys):
                self._join(parent, pairs, rejected)
        return roots_of(parent)

    def near(self, first: int, second: int) -> bool:
        """Whether two documents are near duplicates."""
        signatures = self.signatures(np.array([first, second]))
        agreement = float((signatures[0] == signatures[1]).mean())
        if abs(agreement - self.threshold) > UNCLEAR:
            return agreement > self.threshold
        return self._similar(first, second)

    def _similar(self, first: int, second: int) -> bool:
        return similarity(self._shingles(first), self._shingles(second)) >= self.threshold

    def _bands(self) -> Iterator[Hashes]:
        """One number for each document's rows of a band, band after band."""
        rows = rows_per_band(self.threshold)
        shape = (NUM_PERMUTATIONS // rows, self.number)
        if 0 in shape:
            return
        with tempfile.TemporaryFile(dir=self.folder) if self.folder else nullcontext() as stream:
            keys = np.empty(shape if stream is None else (0, 0), np.uint64)
            for start in range(0, shape[1], CHUNK):
                some = self.signatures(np.arange(start, min(start + CHUNK, self.number)))
                for band in range(shape[0]):
                    own = _band_keys(some[:, band * rows : (band + 1) * rows])
                    if stream is None:
                        keys[band, start : start + CHUNK] = own
                    else:  # written and read, not mapped: what is mapped counts as this process's memory
                        os.pwrite(stream.fileno(), own.tobytes(), (band * shape[1] + start) * own.itemsize)
            for band in range(shape[0]):
                if stream is not None:
                    stream.seek(band * shape[1] * 8)
                yield keys[band] if stream is None else np.fromfile(stream, np.uint64, shape[1])

    def _join(self, parent: Indices, pairs: Indices, rejected: set[tuple[int, int]]) -> None:
        """Join the near pairs among candidates; the lower root becomes the root of both."""
        pairs = pairs[_above(parent, pairs[:, 0]) != _above(parent, pairs[:, 1])]
        if not len(pairs):
            return
        agreement = (self.signatures(pairs[:, 0]) == self.signatures(pairs[:, 1])).mean(axis=1)
        possible = agreement >= self.threshold - UNCLEAR
        is_clear = agreement[possible] > self.threshold + UNCLEAR
        for (first, second), clear in zip(pairs[possible].tolist(), is_clear.tolist(), strict=True):
            a, b = _root(parent, first), _root(parent, second)
            if a == b or (first, second) in rejected:
                continue
            if clear or self._similar(first, second):
                parent[max(a, b)] = min(a, b)
            else:
                rejected.add((first, second))


def _candidates(keys: Hashes) -> Iterator[Indices]:
    """Pairs of documents, lower index first, that agree in a whole band, some thousands at a time."""
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ordered = keys[order]
    edges = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
    sizes = np.diff(edges)
    twos = edges[:-1][sizes == 2]  # nearly all of them
    for start in range(0, len(twos), CHUNK):
        some = twos[start : start + CHUNK]
        yield np.stack([order[some], order[some + 1]], axis=1)
    pairs: list[Indices] = []
    size = 0
    for bucket in np.flatnonzero(sizes > 2):
        pairs.append(_pairs_of(order[edges[bucket] : edges[bucket + 1]]))
        size += len(pairs[-1])
        if size >= CHUNK:
            yield from _portions(np.concatenate(pairs))
            pairs, size = [], 0
    if pairs:
        yield from _portions(np.concatenate(pairs))


def _portions(pairs: Indices) -> Iterator[Indices]:
    for start in range(0, len(pairs), CHUNK):
        yield pairs[start : start + CHUNK]


def _pairs_of(members: Indices) -> Indices:
    """All pairs of a bucket; of a large one, each with the first and with the one before."""
    if len(members) <= MAX_BUCKET:
        first, second = np.triu_indices(len(members), 1)
        return np.stack([members[first], members[second]], axis=1)
    stars = np.stack([np.full(len(members) - 1, members[0]), members[1:]], axis=1)
    chain = np.stack([members[:-1], members[1:]], axis=1)
    return np.concatenate([stars, chain])


def _band_keys(band: Signatures) -> Hashes:
    """One number for each document's rows of a band."""
    keys = np.zeros(len(band), dtype=np.uint64)
    for column in band.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def roots_of(parent: Indices) -> Indices:
    """The root of every document, by following the parents of all at once."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return above
        parent = above


def _above(parent: Indices, indices: Indices) -> Indices:
    """The roots of some documents."""
    while True:
        above = parent[indices]
        if np.array_equal(above, indices):
            return above
        indices = above


def _root(parent: Indices, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index
