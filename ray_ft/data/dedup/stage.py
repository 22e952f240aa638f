"""The second step of prepare: duplicates are found and splits drawn, from what is told of the documents."""

import logging
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ray_ft.config import DataConfig
from ray_ft.data.dedup.clusters import Placing, place_columns
from ray_ft.data.dedup.columns import Columns
from ray_ft.data.dedup.containment import edge_counts, first_with
from ray_ft.data.dedup.edges import folded, key_of
from ray_ft.data.dedup.heads import Head
from ray_ft.data.dedup.placements import PlacedItems, Placements
from ray_ft.data.dedup.splits import Bounds

MANY_FILES, MANY_SHARE = 20, 0.05  # of documents with a line that is told of
MAX_TOLD, MAX_SHOWN = 3, 60  # lines, and characters of each
log = logging.getLogger("ray_ft")


def place_documents(
    heads: Iterable[tuple[Head, ...]],
    text_of: Callable[[int, int], str],
    data: DataConfig,
    seed: int,
    folder: Path | None = None,
) -> PlacedItems:
    """The placements of each item's documents; `text_of` gives the words of an item's document.

    What is too long for memory is written below `folder` and gone with `placements.documents.close()`.
    """
    documents = Columns(folder)
    ends = array("q")
    for of_item in heads:
        for head in of_item:
            documents.add(head)
        ends.append(len(documents))
    items = np.frombuffer(ends, dtype=np.int64) if ends else np.empty(0, dtype=np.int64)

    def text_of_number(number: int) -> str:
        item = int(np.searchsorted(items, number, side="right"))
        return text_of(item, number - (int(items[item - 1]) if item else 0))

    how = Placing(
        Bounds.of(validation_fraction=data.validation_fraction, test_fraction=data.test_fraction),
        seed,
        data.deduplicate,
        data.near_copy_similarity,
        data.max_file_share,
        data.common_lines,
    )
    placed = place_columns(documents.finished(), how=how, text_of=text_of_number)
    if placed.num_clusters:
        log.info(
            "%s of duplicates, each in one split; %s a near duplicate",
            "1 set" if placed.num_clusters == 1 else f"{placed.num_clusters:,} sets",
            "1 document has" if placed.num_near == 1 else f"{placed.num_near:,} documents have",
        )
    if not data.common_lines:
        _tell_common(placed, text_of_number)
    return PlacedItems(placed, items)


def _tell_common(placed: Placements, text_of: Callable[[int], str]) -> None:
    """Say what the heads and feet of many documents share, and the key that leaves it out."""
    documents = placed.documents
    least = max(MANY_FILES, int(MANY_SHARE * documents.num_edged))
    counts = edge_counts(documents, placed.reason == 0, least)
    if not counts:
        return
    told = first_with(documents, list(counts)[:MAX_TOLD])
    lines = [f"{line!r} in {counts[key]:,}" for key, number in told.items() if (line := _line(key, text_of(number)))]
    log.info(
        "%s short lines stand at the head or foot of %s documents or more%s; data.common_lines=%s trains each once",
        f"{len(counts):,}", f"{least:,}", f", e.g. {', '.join(lines)}" if lines else "", least,
    )  # fmt: skip


def _line(key: int, text: str) -> str:
    """The words of a key, where they stand on one line."""
    found = (line.strip() for line in text.split("\n"))
    return next((line[:MAX_SHOWN] for line in found if key_of(folded(line)) == key), "")
