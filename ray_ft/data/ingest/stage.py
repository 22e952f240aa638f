"""The first step of prepare: what no earlier run kept is read, cleaned and signed, and kept in journals."""

import json
import logging
import pickle
import uuid
from dataclasses import dataclass
from pathlib import Path

from ray_ft.config import DataConfig
from ray_ft.data.dedup.decontamination import read_evaluation_sets
from ray_ft.data.dedup.heads import Head, heads_of, text_of
from ray_ft.data.documents import SourceFile
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.ingest.items import Item, batches, size_of
from ray_ft.data.ingest.kept import Kept, find_kept, load
from ray_ft.data.ingest.manifest import keys_of
from ray_ft.data.ingest.quarantine import release
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.task import ParseJob, parse_batch
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

    @property
    def heads(self) -> list[tuple[Head, ...]]:
        """What is told of each item's documents."""
        return [kept.heads for kept in self.kept]

    @property
    def num_files(self) -> int:
        """Files that were read."""
        return sum(len(kept.heads) for kept in self.kept if kept.ref and kept.heads and kept.heads[0].is_file)

    def text(self, item: int, document: int) -> str:
        """All words of an item's document, from its journal."""
        return text_of(load(self.items[item], self.kept[item].ref)[document])


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
    unread = {i: Kept(heads_of(load(item, None), evaluation), None) for i, item in enumerate(items) if _is_unread(item)}
    return Work(items, keys, [unread[i] if i in unread else kept[i] for i in range(len(items))], folder)


def _is_unread(item: Item) -> bool:
    return isinstance(item, SourceFile) and bool(item.reason)
