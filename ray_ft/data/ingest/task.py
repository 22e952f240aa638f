"""The first step of prepare: every file and every slice of a dataset is read once, and kept with what tells duplicates.

Where a task dies, the next one goes on behind the last document that was done. What an earlier run kept of unchanged
files is taken as it is.
"""

import json
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_ft.data.dedup.decontamination import EvaluationRuns
from ray_ft.data.dedup.heads import heads_of
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record
from ray_ft.data.ingest.datasets import Slice, read_slice
from ray_ft.data.ingest.items import Item, batch_name, size_of
from ray_ft.data.ingest.kept import Parsed
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.journal import Journal, read_journal
from ray_ft.errors import RayFTError

MAX_STRIKES = 5  # deaths of workers at one file, after which it is left out; fewer may be bad luck
KILLER = "killed its worker"


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
