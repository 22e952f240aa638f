"""The first step of prepare: every file and every slice of a dataset is read once, cleaned and signed, and kept.

What an earlier run kept of unchanged files is taken as it is, and where a task dies, the next one goes on behind the
last document that was done: all of it lies in journals.
"""

import json
import logging
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray_ft import progress
from ray_ft.config import DataConfig
from ray_ft.data.dedup.decontamination import read_evaluation_sets
from ray_ft.data.dedup.heads import Head, heads_of, text_of
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record
from ray_ft.data.ingest.datasets import Slice, has_changed, read_slice
from ray_ft.data.ingest.items import Item, Todo, batch_name, batches, item_key, size_of
from ray_ft.data.ingest.manifest import keyed, parse_digest
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.budget import OutOfTime, budget, budgets_in_turn, renew
from ray_ft.data.run.journal import Journal, Ref, read_body, read_journal, strike
from ray_ft.data.run.progress import Counts
from ray_ft.data.run.tasks import num_cpus, run_tasks
from ray_ft.data.run.typed import dump
from ray_ft.data.run.typed import load as load_typed
from ray_ft.errors import DataError, RayFTError
from ray_ft.overlap import Runs

log = logging.getLogger("ray_ft")

PARSED = "parsed"  # folder of the journals
MAX_STRIKES = 5  # deaths of workers at one file, after which it is left out; fewer may be bad luck
KILLER, TOOK_LONG, TOOK_MEMORY = "killed its worker", "took too long", "took too much memory"
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
    changed: tuple[str, ...] = ()  # files that were read as something else than what was listed

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
    """Parse what no earlier run kept; a file that changes meanwhile counts as what was read of it."""
    evaluation = read_evaluation_sets(data.decontaminate)
    cleaning = Cleaning.of(data, [item for item in items if isinstance(item, SourceFile)])
    settings = {
        "evaluation": {size: runs.tobytes().hex() for size, runs in evaluation.hashes.items()},
        "cleaning": cleaning,
    }
    how = parse_digest(settings)
    todo = keyed(items, how)
    items, keys = list(items), [one.key for one in todo]
    wanted = {key: i for i, key in enumerate(keys) if not _is_unread(items[i])}
    kept = find_kept(folder / PARSED, wanted)
    limits = Limits(data.parse_seconds, int(data.parse_memory_gib * 2**30))
    if retry_quarantined:
        kept = release(folder / PARSED, kept, items, keys)
        limits = Limits(RETRY_TIME * limits.seconds, RETRY_MEMORY * limits.memory_bytes)
    left = [todo[i] for i in wanted.values() if i not in kept]
    changed: list[str] = []
    if kept and left:
        log.info("taking over %s of %s files, reading %s", f"{len(kept):,}", f"{len(wanted):,}", f"{len(left):,}")
    if left:
        job = ParseJob(str(folder / PARSED), uuid.uuid4().hex, evaluation, cleaning, limits, how)
        rows = [{"work": dump(batch)} for batch in batches(left, num_cpus())]
        with progress.task("read", "files", len(left)) as task:
            counts = Counts(task, num_bytes=sum(size_of(one.item) for one in left))
            for result in map(json.loads, run_tasks(rows, parse_batch, job, retries=-1)):
                if result["error"]:
                    raise DataError(f"prepare stopped: {result['error']}")
                counts.add(result["num_items"], result["num_bytes"], result["states"])
                for listed, (key, num_bytes) in result["changed"].items():
                    i = wanted.pop(bytes.fromhex(listed))
                    keys[i] = bytes.fromhex(key)
                    wanted[keys[i]] = i
                    item = items[i]
                    assert isinstance(item, SourceFile)
                    items[i] = replace(item, num_bytes=num_bytes)
                    changed.append(item.path)
        kept |= find_kept(folder / PARSED, {key: i for key, i in wanted.items() if i not in kept})
    unread = {i: Kept(heads_of(load(item, None), evaluation), None) for i, item in enumerate(items) if _is_unread(item)}
    whole = [unread[i] if i in unread else kept[i] for i in range(len(items))]
    return Work(items, keys, whole, folder, tuple(sorted(changed)))


# --- one task ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParseJob:
    """What items are parsed with; travels to the workers."""

    folder: str  # of the journals
    run: str  # differs from run to run, so that only deaths of this one count as strikes
    evaluation: Runs = field(default_factory=lambda: Runs({}))
    cleaning: Cleaning = field(default_factory=Cleaning)
    limits: Limits = field(default_factory=Limits)
    how: str = ""  # digest of all that items are parsed with, for the keys of those that changed


@dataclass
class ParseResult:
    """What a batch became, in numbers."""

    num_items: int = 0
    num_bytes: int = 0
    states: Counter[str] = field(default_factory=Counter)  # "ok", "skipped: reason", "quarantined: reason"
    changed: dict[str, tuple[str, int]] = field(default_factory=dict)  # key as listed -> as read, and bytes as read
    error: str = ""


def parse_batch(row: dict[str, Any], *, job: ParseJob) -> dict[str, Any]:
    """Parse what no earlier task of this batch did, and keep it; the counts go back."""
    batch = load_typed(list[Todo], row["work"])
    folder = Path(job.folder)
    name = batch_name(batch)
    done, strikes = _so_far(sorted(folder.glob(f"{name}.*.log")), job.run)
    result = ParseResult()
    try:
        with Journal(folder, name) as journal, budgets_in_turn():
            for todo in batch:
                if todo.key not in done:
                    journal.begin(todo.key, job.run)
                    is_killer = strikes[todo.key] >= MAX_STRIKES
                    parsed, heads = _given_up(todo.item, KILLER, job) if is_killer else parse_and_sign(todo.item, job)
                    key, num_bytes = (todo.key, 0) if is_killer else _as_read(todo, parsed, job.how)
                    if key != todo.key:
                        result.changed[todo.key.hex()] = key.hex(), num_bytes
                    journal.done(key, heads, parsed)
                    _count(result, parsed)
                result.num_items += 1
                result.num_bytes += size_of(todo.item)
    except DataError as error:
        result.error = str(error)
    except OSError as error:
        result.error = f"cannot write {error.filename or folder}: {error.strerror}"
    return {"result": json.dumps(vars(result))}


def parse_and_sign(item: Item, job: ParseJob) -> tuple[Parsed, tuple[Head, ...]]:
    """What became of an item, and what tells copies of it: within the time and the memory that a file may take."""
    try:
        with budget(job.limits.seconds, job.limits.memory_bytes):
            parsed = parse_item(item, job.cleaning, job.limits)
            renew()
            return parsed, heads_of(parsed, job.evaluation)
    except OutOfTime:
        return _given_up(item, TOOK_LONG, job)
    except MemoryError:
        return _given_up(item, TOOK_MEMORY, job)


def parse_item(item: Item, cleaning: Cleaning, limits: Limits = Limits()) -> Parsed:  # noqa: B008 - it is frozen
    """The documents of an item, cleaned, or why there are none. Never raises."""
    if isinstance(item, Slice):
        return [_clean_line(record, cleaning) for record in read_slice(item)]
    read = read_file(item, limits)
    renew()
    try:
        return [clean_file(read, cleaning)]
    except RayFTError:
        raise
    except Exception as error:  # patterns and models of others, on odd text: one file must not end the job
        reason = f"cleaning failed: {type(error).__name__}"
        return [replace(read, status="quarantined", reason=reason, note=str(error)[:200], document=None)]


def _clean_line(record: Record, cleaning: Cleaning) -> Record:
    """A line, cleaned or left out: one that takes long or fails costs no other."""
    try:
        renew()
        return clean_record(record, cleaning)
    except OutOfTime:
        renew(at_once=True)
        reason, note = TOOK_LONG, ""
    except RayFTError:
        raise
    except Exception as error:
        reason, note = f"cleaning failed: {type(error).__name__}", str(error)[:200]
    return replace(record, reason=reason, note=note, text="", examples=())


def _as_read(todo: Todo, parsed: Parsed, how: str) -> tuple[bytes, int]:
    """Key and bytes of what was read: under the listed key it would be taken for the listed content once that is back.

    Raises DataError for a dataset that has changed, since its slices are cut from what was listed.
    """
    if isinstance(todo.item, Slice):
        if todo.content and has_changed(todo.item.file, todo.content):
            raise DataError(f"data.datasets: {todo.item.file.name} changed while it was read; run prepare again")
        return todo.key, size_of(todo.item)
    (read,) = parsed
    assert isinstance(read, ReadFile)
    if read.status == "quarantined" and not read.sha256:  # given up, whatever it holds
        return todo.key, read.file.num_bytes
    found = read.sha256 or read.reason
    is_listed = bool(read.sha256) if todo.item.content or not todo.content else found == todo.content
    return todo.key if is_listed else item_key(read.file, found, how), read.file.num_bytes


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


def _given_up(item: Item, reason: str, job: ParseJob) -> tuple[Parsed, tuple[Head, ...]]:
    """The account of an item that cannot be read: worker after worker died at it, or it took too much."""
    parsed: Parsed = [ReadFile(item, "quarantined", reason)] if isinstance(item, SourceFile) else []
    if isinstance(item, Slice):
        parsed = [Record(f"{item.file.name}:{item.first}", item.file.origin.dataset, size_of(item), reason=reason)]
    return parsed, heads_of(parsed, job.evaluation)


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
                heads = entry.head_as(tuple[Head, ...])
                if heads is not None:
                    found[number] = Kept(heads, entry.ref)
    return found


def load(item: Item, ref: Ref | None) -> Parsed:
    """The documents of an item, from its journal; an item that is not read is its own account."""
    if ref is None:
        assert isinstance(item, SourceFile)
        return [ReadFile(item, "skipped", item.reason)]
    return read_body(ref, list[ReadFile]) if isinstance(item, SourceFile) else read_body(ref, list[Record])


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
