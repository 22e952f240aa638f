"""The second step of prepare: duplicates are found and splits drawn, from what is told of the documents."""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from ray_ft.config import DataConfig
from ray_ft.data.dedup.clusters import Placement, Placing, place
from ray_ft.data.dedup.containment import edge_counts
from ray_ft.data.dedup.edges import folded, key_of
from ray_ft.data.dedup.heads import EDGE, Head
from ray_ft.data.dedup.splits import Bounds

MANY_FILES, MANY_SHARE = 20, 0.05  # of documents with a line that is told of
MAX_TOLD, MAX_SHOWN = 3, 60  # lines, and characters of each
log = logging.getLogger("ray_ft")


def place_documents(
    heads: Sequence[tuple[Head, ...]], text_of: Callable[[int, int], str], data: DataConfig, seed: int
) -> list[tuple[Placement, ...]]:
    """The placements of each item's documents; `text_of` gives the words of an item's document."""
    owners = [(item, document) for item, documents in enumerate(heads) for document in range(len(documents))]
    how = Placing(
        Bounds.of(validation_fraction=data.validation_fraction, test_fraction=data.test_fraction),
        seed,
        data.deduplicate,
        data.near_copy_similarity,
        data.max_file_share,
        data.common_lines,
    )
    every = [head for documents in heads for head in documents]
    placed = place(every, how=how, text_of=lambda number: text_of(*owners[number]))
    if placed.num_clusters:
        log.info(
            "%s of duplicates, each in one split; %s a near duplicate",
            "1 set" if placed.num_clusters == 1 else f"{placed.num_clusters:,} sets",
            "1 document has" if placed.num_near == 1 else f"{placed.num_near:,} documents have",
        )
    if not data.common_lines:
        _tell_common(every, placed.all, lambda number: text_of(*owners[number]))
    remaining = iter(placed.all)
    return [tuple(next(remaining) for _ in documents) for documents in heads]


def _tell_common(heads: Sequence[Head], placed: Sequence[Placement], text_of: Callable[[int], str]) -> None:
    """Say what the heads and feet of many documents share, and the key that leaves it out."""
    least = max(MANY_FILES, int(MANY_SHARE * sum(bool(h.edges) for h in heads)))
    counts = edge_counts(heads, placed, least)
    lines = [f"{line!r} in {n:,}" for key, n in list(counts.items())[:MAX_TOLD] if (line := _line(key, heads, text_of))]
    if counts:
        log.info(
            "%s short lines stand at the head or foot of %s documents or more%s; data.common_lines=%s trains each once",
            f"{len(counts):,}", f"{least:,}", f", e.g. {', '.join(lines)}" if lines else "", least,
        )  # fmt: skip


def _line(key: int, heads: Sequence[Head], text_of: Callable[[int], str]) -> str:
    """The words of a key, where they stand on one line."""
    number = next(i for i, h in enumerate(heads) if h.edges and key in np.frombuffer(h.edges, dtype=EDGE))
    found = (line.strip() for line in text_of(number).split("\n"))
    return next((line[:MAX_SHOWN] for line in found if key_of(folded(line)) == key), "")
