"""The first step of prepare: every file and every slice of a dataset is read once, cleaned and signed, and kept.

What an earlier run kept of unchanged files is taken as it is, and where a task dies, the next one goes on behind the
last document that was done: all of it lies in journals.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft import progress
from ray_ft.config import DataConfig
from ray_ft.data.dedup.decontamination import read_evaluation_sets
from ray_ft.data.dedup.heads import Head, heads_of, text_of
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record, tells_of_others
from ray_ft.data.ingest.datasets import Slice, has_changed
from ray_ft.data.ingest.items import UNREAD, Item, Todo, batch_name, item_key, size_of
from ray_ft.data.ingest.kept import Kept, find_kept
from ray_ft.data.ingest.known import KNOWN, Known, hash_stamped
from ray_ft.data.ingest.listed import Batched, BatchResult, Found, Listed
from ray_ft.data.ingest.manifest import keyed, noted
from ray_ft.data.ingest.parts.pieces import make_pieces, remove_pieces
from ray_ft.data.ingest.parts.rows import read_slice
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.ingest.records import TOOK_LONG, TOOK_MEMORY
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.budget import OutOfTime, budget, budgets_in_turn, renew
from ray_ft.data.run.digests import parse_digest
from ray_ft.data.run.journal import Ref, read_body
from ray_ft.data.run.place import SCRATCH, Place
from ray_ft.data.run.progress import Counts
from ray_ft.data.run.room import tell_room
from ray_ft.data.run.segments import Journals, attempt_at, strike
from ray_ft.data.run.tasks import num_cpus, run_tasks
from ray_ft.data.run.typed import load as load_typed
from ray_ft.errors import DataError, RayFTError, StorageError
from ray_ft.overlap import Runs

log = logging.getLogger("ray_ft")

MAX_STRIKES = 5  # deaths of workers at one file, after which it is left out; fewer may be bad luck
KILLER = "killed its worker"
RETRY_TIME, RETRY_MEMORY = 4, 2  # times what a parser gets at its first attempt
HASHED_HERE, HASHED_HERE_BYTES = 2000, 2**28  # files that are hashed without a job for it

Parsed = list[ReadFile] | list[Record]


@dataclass(frozen=True)
class Work:
    """What there is to do, and where what is finished of it lies."""

    items: Listed
    kept: Kept
    folder: Path  # of this machine
    evaluation: Runs = field(default_factory=lambda: Runs({}))
    changed: tuple[str, ...] = ()  # files that were read as something else than what was listed
    place: Place | None = None  # what all nodes see; None: the folder
    sources: Mapping[str, Any] = field(default_factory=dict)  # as `sources_digest` tells, of what was read

    @property
    def shared(self) -> Place:
        """Where all nodes find what is finished."""
        return self.place or Place.of_folder(self.folder)

    def heads(self) -> Iterator[tuple[Head, ...]]:
        """What is told of each item's documents, in order."""
        for number in range(len(self.items)):
            kept = number in self.kept
            yield self.kept.heads(number) if kept else heads_of(load(self.items[number], None), self.evaluation)

    def ref(self, number: int) -> Ref | None:
        """Where an item's documents lie; None where it is not read at all."""
        return self.kept.ref(number) if number in self.kept else None

    @property
    def num_files(self) -> int:
        """Files that were read."""
        return int((self.items.is_read & ~self.items.is_slice).sum())

    def text(self, item: int, document: int) -> str:
        """All words of an item's document, from its journal."""
        return text_of(load(self.items[item], self.ref(item))[document])


def read_items(
    items: Iterable[Item],
    data: DataConfig,
    folder: Path,
    *,
    retry_quarantined: bool,
    place: Place | None = None,
    known: Path | None = None,
    begin: Callable[[], None] = lambda: None,
) -> Work:
    """Parse what no earlier run kept; a file that changes meanwhile counts as what was read of it.

    `begin` is called once all is listed. The list of the items lies below `folder` until the run ends, what is finished
    at the `place` or there too, and in `known` what files held.
    """
    shared, known = place or Place.of_folder(folder), known or folder / KNOWN
    journals = shared.journals
    evaluation = read_evaluation_sets(data.decontaminate)
    began_ns = time.time_ns()
    (folder / SCRATCH).mkdir(parents=True, exist_ok=True)
    listed, telling = Listed(folder / SCRATCH), []
    for todo in keyed(items, Known(known if data.trust_times else None)):
        listed.append(todo)
        if isinstance(todo.item, SourceFile) and tells_of_others(todo.item):
            telling.append(todo.item)
    cleaning = Cleaning.of(data, telling)
    settings = {
        "evaluation": {size: runs.tobytes().hex() for size, runs in evaluation.hashes.items()},
        "cleaning": cleaning,
    }
    how = parse_digest(settings)
    listed.put_under(how)
    tell_room(len(listed))
    begin()
    limits = Limits(data.parse_seconds, int(data.parse_memory_gib * 2**30))
    if retry_quarantined:
        limits = Limits(RETRY_TIME * limits.seconds, RETRY_MEMORY * limits.memory_bytes)
    job = ParseJob(journals.folder, uuid.uuid4().hex, evaluation, cleaning, limits, how, shared.tries)
    changed: list[str] = []
    if journals.all():  # something may be taken over, by content
        _hash_unread(listed, job, shared.tasks)
    kept = find_kept(journals, listed.keys)
    if retry_quarantined:
        kept = release(journals, kept, listed)
    left = np.flatnonzero(listed.is_read & ~kept.is_there)
    if len(kept) and len(left):
        log.info(
            "taking over %s of %s files, reading %s", f"{len(kept):,}", f"{listed.is_read.sum():,}", f"{len(left):,}"
        )
    if len(left):
        with progress.task("read", "files", len(left)) as task:
            counts = Counts(task, num_bytes=int(listed.sizes[left].sum()))
            slices = ((i, listed[i]) for i in left[listed.is_slice[left]].tolist())
            pieces = make_pieces(slices, shared.tasks, limits)
            batched = Batched(listed, left, num_cpus(), pieces)
            for result in batched.results(run_tasks(batched.rows(), parse_batch, job, folder=shared.tasks, retries=-1)):
                if result["error"]:
                    raise DataError(f"prepare stopped: {result['error']}")
                counts.add(result["num_items"], result["num_bytes"], result["states"])
                changed += batched.take(result)
            remove_pieces(pieces)
        find_kept(journals, listed.keys, kept)
    sources = noted(listed, known, began_ns)
    return Work(listed, kept, folder, evaluation, tuple(sorted(changed)), place, sources)


def _hash_unread(listed: Listed, job: "ParseJob", folder: str) -> None:
    """Find out what files hold of which nobody knows: here where they are few, else by tasks of the cluster."""
    unread = np.flatnonzero(listed.is_unread)
    is_little = len(unread) <= HASHED_HERE and int(listed.sizes[unread].sum()) <= HASHED_HERE_BYTES
    batched = Batched(listed, unread, 1 if is_little else num_cpus())
    done: Iterator[str]
    if is_little:
        done = (hash_batch(row, job=job)["result"] for row in batched.rows())
    else:
        log.info("hashing %s files", f"{len(unread):,}")
        done = run_tasks(batched.rows(), hash_batch, job, folder=folder)
    for result in batched.results(done):
        batched.take(result)


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
    tries: str = ""  # URI of notes on batches that were begun, where journals are no files


def parse_batch(row: dict[str, Any], *, job: ParseJob) -> dict[str, Any]:
    """Parse what no earlier task of this batch did, and keep it; the counts go back."""
    batch = load_typed(list[Todo], row["work"])
    result = BatchResult(row.get("batch", 0))
    try:
        so_far = attempt_at(job.folder, batch_name(batch), job.run, job.tries)
        with so_far.journal as journal, budgets_in_turn():
            for place, todo in enumerate(batch):
                # What a task that died did not say of a file is found out anew.
                found = _hashed(place, todo, job.how) if so_far.done and todo.content == UNREAD else None
                key = bytes.fromhex(found.key) if found else todo.key
                if key not in so_far.done:
                    journal.begin(todo.key, job.run)
                    is_killer = so_far.strikes[todo.key] >= MAX_STRIKES
                    parsed, heads = _given_up(todo.item, KILLER, job) if is_killer else parse_and_sign(todo.item, job)
                    found = _as_read(place, todo, parsed, job.how)
                    journal.done(bytes.fromhex(found.key) if found else todo.key, heads, parsed)
                    _count(result, parsed)
                result.found += [found] if found else []
                result.num_items += 1
                result.num_bytes += size_of(todo.item)
    except (DataError, StorageError) as error:
        result.error = str(error)
    except OSError as error:
        result.error = f"cannot write {error.filename or job.folder}: {error.strerror}"
    return {"result": json.dumps(vars(result))}


def hash_batch(row: dict[str, Any], *, job: ParseJob) -> dict[str, Any]:
    """Tell what the files of a batch hold, so that what was made of it is found."""
    result = BatchResult(row.get("batch", 0))
    result.found = [_hashed(place, todo, job.how) for place, todo in enumerate(load_typed(list[Todo], row["work"]))]
    return {"result": json.dumps(vars(result))}


def _hashed(place: int, todo: Todo, how: str) -> Found:
    """What a file holds now."""
    assert isinstance(todo.item, SourceFile)
    content, stamp = hash_stamped(todo.item)
    num_bytes = stamp[0] if stamp and not todo.item.kind else todo.item.num_bytes
    key = item_key(replace(todo.item, num_bytes=num_bytes), content, how)
    return Found(place, key.hex(), content, num_bytes, stamp != todo.item.stamp)


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


def _as_read(place: int, todo: Todo, parsed: Parsed, how: str) -> Found | None:
    """What was read, where it is not what was listed: under the listed key it would be taken for that.

    Raises DataError for a dataset that has changed, since its slices are cut from what was listed.
    """
    if isinstance(todo.item, Slice):
        if todo.content and has_changed(todo.item.file, todo.content):
            raise DataError(f"data.datasets: {todo.item.file.name} changed while it was read; run prepare again")
        return None
    (read,) = parsed
    assert isinstance(read, ReadFile)
    is_given_up = read.status == "quarantined" and not read.sha256  # whatever it holds
    if todo.content == UNREAD:
        content, stamp = hash_stamped(todo.item) if is_given_up else (read.sha256 or read.reason, read.file.stamp)
        has_moved = stamp != todo.item.stamp
    else:
        content, has_moved = read.sha256 or read.reason, True
        if is_given_up or (bool(read.sha256) if todo.item.content or not todo.content else content == todo.content):
            return None
    key = item_key(read.file, content, how)
    return Found(place, key.hex(), content, read.file.num_bytes, has_moved)


def _given_up(item: Item, reason: str, job: ParseJob) -> tuple[Parsed, tuple[Head, ...]]:
    """The account of an item that cannot be read: worker after worker died at it, or it took too much."""
    parsed: Parsed = [ReadFile(item, "quarantined", reason)] if isinstance(item, SourceFile) else []
    if isinstance(item, Slice):
        parsed = [Record(f"{item.file.name}:{item.first}", item.file.origin.dataset, size_of(item), reason=reason)]
    return parsed, heads_of(parsed, job.evaluation)


def _count(result: BatchResult, parsed: Parsed) -> None:
    for one in parsed:
        status = one.status if isinstance(one, ReadFile) else "skipped" if one.reason else "ok"
        result.states[status if status == "ok" else f"{status}: {one.reason}"] += 1


# --- what is kept -----------------------------------------------------------------------------------------------------


def load(item: Item, ref: Ref | None, packed: bytes | None = None) -> Parsed:
    """The documents of an item, from its journal; an item that is not read is its own account.

    `packed` is what the journal holds of it, where that was read ahead.
    """
    if ref is None:
        assert isinstance(item, SourceFile)
        return [ReadFile(item, "skipped", item.reason)]
    is_file = isinstance(item, SourceFile)
    return read_body(ref, list[ReadFile], packed) if is_file else read_body(ref, list[Record], packed)


def release(journals: Path | Journals, kept: Kept, items: Listed) -> Kept:
    """What is kept without what is in quarantine, which the journals forget: it will be read again."""
    held = {items.keys[i] for i in np.flatnonzero(kept.is_there).tolist() if _is_quarantined(items[i], kept, i)}
    if not held:
        return kept
    strike(journals, held)
    return find_kept(journals, items.keys)  # some lie elsewhere now


def _is_quarantined(item: Item, kept: Kept, number: int) -> bool:
    if any(head.is_usable for head in kept.heads(number)):
        return False
    documents = load(item, kept.ref(number))
    return any(isinstance(one, ReadFile) and one.status == "quarantined" for one in documents)
