"""The second step of prepare: duplicates are found and splits drawn, from what is told of the documents."""

import logging
from collections.abc import Callable, Sequence

from ray_ft.config import DataConfig
from ray_ft.data.dedup.clusters import Placement, Placing, place
from ray_ft.data.dedup.heads import Head
from ray_ft.data.dedup.splits import Bounds

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
    )
    every = [head for documents in heads for head in documents]
    placed = place(every, how=how, text_of=lambda number: text_of(*owners[number]))
    if placed.num_clusters:
        log.info(
            "%s sets of duplicates, each in one split; %s documents have a near duplicate",
            f"{placed.num_clusters:,}",
            f"{placed.num_near:,}",
        )
    remaining = iter(placed.all)
    return [tuple(next(remaining) for _ in documents) for documents in heads]
