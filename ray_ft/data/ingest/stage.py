"""The first half of prepare: what no earlier run kept is read, and every document gets its place."""

import json
import logging
import pickle
import uuid
from dataclasses import dataclass
from pathlib import Path

from ray_ft.config import DataConfig
from ray_ft.data.dedup.clusters import Placement, Placements, Placing, place
from ray_ft.data.dedup.decontamination import read_evaluation_sets
from ray_ft.data.dedup.splits import Bounds
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.ingest.listing import SourceFile
from ray_ft.data.ingest.manifest import keys_of
from ray_ft.data.ingest.quarantine import release
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.task import (
    Item,
    Kept,
    ParseJob,
    batches,
    find_kept,
    heads_of,
    load,
    parse_batch,
    parse_item,
    size_of,
    text_of,
)
from ray_ft.data.run.progress import Progress
from ray_ft.data.run.tasks import num_cpus, run_tasks
from ray_ft.errors import DataError

log = logging.getLogger("ray_ft")

PARSED = "parsed"  # folder of the journals
RETRY_TIME, RETRY_MEMORY = 4, 2  # times what a parser gets at its first attempt


@dataclass(frozen=True)
class Work:
    """What there is to do, and where what is finished of it lies."""

    items: list[Item]
    keys: list[bytes]
    kept: list[Kept]
    folder: Path


def read_items(items: list[Item], data: DataConfig, folder: Path, *, retry_quarantined: bool) -> Work:
    """Parse what no earlier run kept."""
    evaluation = read_evaluation_sets(data.decontaminate)
    cleaning = Cleaning.of(data, [item for item in items if isinstance(item, SourceFile)])
    settings = {
        "evaluation": {size: runs.tobytes().hex() for size, runs in evaluation.hashes.items()},
        "cleaning": cleaning,
    }
    keys = keys_of(items, settings)
    wanted = {key: i for i, key in enumerate(keys) if not _is_unread(items[i])}
    kept = find_kept(folder / PARSED, wanted)
    limits = Limits(data.parse_seconds, int(data.parse_memory_gib * 2**30))
    if retry_quarantined:
        kept = release(folder / PARSED, kept, items, keys)
        limits = Limits(RETRY_TIME * limits.seconds, RETRY_MEMORY * limits.memory_bytes)
    left = [(key, items[i]) for key, i in wanted.items() if i not in kept]
    if kept and left:
        log.info("taking over %s of %s files, reading %s", f"{len(kept):,}", f"{len(wanted):,}", f"{len(left):,}")
    if left:
        job = ParseJob(str(folder / PARSED), uuid.uuid4().hex, evaluation, cleaning, limits)
        progress = Progress("read", num_files=len(left), num_bytes=sum(size_of(item) for _, item in left))
        rows = [{"work": pickle.dumps(batch)} for batch in batches(left, num_cpus())]
        for result in map(json.loads, run_tasks(rows, parse_batch, job, retries=-1)):
            if result["error"]:
                raise DataError(f"prepare stopped: {result['error']}")
            progress.add(result["num_items"], result["num_bytes"], result["states"])
        kept |= find_kept(folder / PARSED, {key: i for key, i in wanted.items() if i not in kept})
    unread = {
        i: Kept(heads_of(parse_item(item, cleaning), evaluation), None)
        for i, item in enumerate(items)
        if _is_unread(item)
    }
    return Work(items, keys, [unread[i] if i in unread else kept[i] for i in range(len(items))], folder)


def _is_unread(item: Item) -> bool:
    return isinstance(item, SourceFile) and bool(item.reason)


def place_documents(work: Work, data: DataConfig, seed: int) -> list[tuple[Placement, ...]]:
    """Splits and copies; the placements of each item's documents."""
    owners = [(i, number) for i, kept in enumerate(work.kept) for number in range(len(kept.heads))]

    def text(document: int) -> str:
        item, number = owners[document]
        return text_of(load(work.items[item], work.kept[item].ref)[number])

    how = Placing(
        Bounds.of(validation_fraction=data.validation_fraction, test_fraction=data.test_fraction),
        seed,
        data.deduplicate,
        data.near_copy_similarity,
    )
    placed = place([head for kept in work.kept for head in kept.heads], how=how, text_of=text)
    _say(placed)
    remaining = iter(placed.all)
    return [tuple(next(remaining) for _ in kept.heads) for kept in work.kept]


def _say(placed: Placements) -> None:
    if placed.num_clusters:
        log.info(
            "%s sets of copies, each in one split; %s documents have a near copy",
            f"{placed.num_clusters:,}",
            f"{placed.num_near:,}",
        )
