"""The first step of prepare: every file and every slice of a dataset is read once, cleaned and signed, and kept.

What an earlier run kept of unchanged files is taken as it is, and where a task dies, the next one goes on behind the
last document that was done: all of it lies in journals.
"""

import json
import logging
import pickle
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_ft.config import DataConfig
from ray_ft.data.dedup.decontamination import EvaluationRuns, read_evaluation_sets
from ray_ft.data.dedup.heads import Head, heads_of, text_of
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record
from ray_ft.data.ingest.datasets import Slice, read_slice
from ray_ft.data.ingest.items import Item, batch_name, batches, size_of
from ray_ft.data.ingest.manifest import keys_of
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.journal import Journal, Ref, read_body, read_journal, strike
from ray_ft.data.run.progress import Progress
from ray_ft.data.run.tasks import num_cpus, run_tasks
from ray_ft.errors import DataError, RayFTError

log = logging.getLogger("ray_ft")

PARSED = "parsed"  # folder of the journals
MAX_STRIKES = 5  # deaths of workers at one file, after which it is left out; fewer may be bad luck
KILLER = "killed its worker"
RETRY_TIME, RETRY_MEMORY = 4, 2  # times what a parser gets at its first attempt

Parsed = list[ReadFile] | list[Record]


@dataclass(frozen=True)
class Kept:
    """An item that is done: what is told of its documents, and where they lie."""

    heads: tuple[Head, ...]
    ref: Ref | None  # None: nothing lies anywhere, since the item is not read at all


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


# --- one task ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParseJob:
    """What items are parsed with; travels to the workers."""

    folder: str  # of the journals
    run: str  # differs from run to run, so that only deaths of this one count as strikes
    evaluation: EvaluationRuns = field(default_factory=lambda: EvaluationRuns({}))
    cleaning: Cleaning = field(default_factory=Cleaning)
    limits: Limits = field(default_factory=Limits)


@dataclass
class ParseResult:
    """What a batch became, in numbers."""

    num_items: int = 0
    num_bytes: int = 0
    states: Counter[str] = field(default_factory=Counter)  # "ok", "skipped: reason", "quarantined: reason"
    error: str = ""


def parse_batch(row: dict[str, Any], *, job: ParseJob) -> dict[str, Any]:
    """Parse what no earlier task of this batch did, and keep it; the counts go back."""
    items: list[tuple[bytes, Item]] = pickle.loads(row["work"])
    folder = Path(job.folder)
    name = batch_name(items)
    done, strikes = _so_far(sorted(folder.glob(f"{name}.*.log")), job.run)
    result = ParseResult()
    try:
        with Journal(folder, name) as journal:
            for key, item in items:
                if key not in done:
                    journal.begin(key, job.run)
                    parsed = (
                        _killed(item) if strikes[key] >= MAX_STRIKES else parse_item(item, job.cleaning, job.limits)
                    )
                    heads = heads_of(parsed, job.evaluation)
                    journal.done(key, heads, parsed)
                    _count(result, parsed)
                result.num_items += 1
                result.num_bytes += size_of(item)
    except OSError as error:
        result.error = f"cannot write {error.filename or folder}: {error.strerror}"
    return {"result": json.dumps(vars(result))}


def parse_item(item: Item, cleaning: Cleaning, limits: Limits = Limits()) -> Parsed:  # noqa: B008 - it is frozen
    """The documents of an item, cleaned, or why there are none. Never raises."""
    if isinstance(item, Slice):
        return [clean_record(record, cleaning) for record in read_slice(item)]
    read = read_file(item, limits)
    try:
        return [clean_file(read, cleaning)]
    except RayFTError:
        raise
    except Exception as error:  # patterns and models of others, on odd text: one file must not end the job
        return [ReadFile(item, "quarantined", f"cleaning failed: {type(error).__name__}", str(error)[:200])]


def _so_far(journals: Sequence[Path], run: str) -> tuple[set[bytes], Counter[bytes]]:
    """Keys that are done, and how often this run began the others without an end."""
    done: set[bytes] = set()
    strikes: Counter[bytes] = Counter()
    for path in journals:
        for entry in read_journal(path):
            if entry.ref is not None:
                done.add(entry.key)
            elif entry.run == run:
                strikes[entry.key] += 1
    return done, strikes


def _killed(item: Item) -> Parsed:
    """The account of an item at which worker after worker died."""
    if isinstance(item, SourceFile):
        return [ReadFile(item, "quarantined", KILLER)]
    return [Record(f"{item.file.name}:{item.first}", item.file.origin.dataset, size_of(item), reason=KILLER)]


def _count(result: ParseResult, parsed: Parsed) -> None:
    for one in parsed:
        status = one.status if isinstance(one, ReadFile) else "skipped" if one.reason else "ok"
        result.states[status if status == "ok" else f"{status}: {one.reason}"] += 1


# --- what is kept -----------------------------------------------------------------------------------------------------


def find_kept(folder: Path, wanted: dict[bytes, int]) -> dict[int, Kept]:
    """Of the wanted keys, those that some journal holds: their number -> what is kept."""
    found: dict[int, Kept] = {}
    for path in sorted(folder.glob("*.log")):
        for entry in read_journal(path):
            number = wanted.get(entry.key)
            if entry.ref is not None and number is not None and number not in found:
                found[number] = Kept(entry.head, entry.ref)
    return found


def load(item: Item, ref: Ref | None) -> Parsed:
    """The documents of an item, from its journal; an item that is not read is its own account."""
    if ref is None:
        assert isinstance(item, SourceFile)
        return [ReadFile(item, "skipped", item.reason)]
    parsed: Parsed = read_body(ref)
    return parsed


def release(folder: Path, kept: Mapping[int, Kept], items: Sequence[Item], keys: Sequence[bytes]) -> dict[int, Kept]:
    """What is kept without what is in quarantine, which the journals below `folder` forget: it will be read again."""
    held = {i for i, one in kept.items() if _is_quarantined(items[i], one)}
    if not held:
        return dict(kept)
    strike(folder, {keys[i] for i in held})
    return find_kept(folder, {keys[i]: i for i in kept if i not in held})  # some lie elsewhere now


def _is_quarantined(item: Item, kept: Kept) -> bool:
    if kept.ref is None or any(head.is_usable for head in kept.heads):
        return False
    return any(isinstance(one, ReadFile) and one.status == "quarantined" for one in load(item, kept.ref))


def _is_unread(item: Item) -> bool:
    return isinstance(item, SourceFile) and bool(item.reason)
