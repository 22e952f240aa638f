"""The first step of prepare: every file and every slice of a dataset is read once, and kept with what tells copies.

Where a task dies, the next one goes on behind the last document that was done. What an earlier run kept of unchanged
files is taken as it is.
"""

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ray_ft.data.dedup.decontamination import EvaluationRuns
from ray_ft.data.dedup.minhash import signature
from ray_ft.data.dedup.shingles import shingles
from ray_ft.data.dedup.splits import content_key
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record
from ray_ft.data.ingest.datasets import Slice, read_slice
from ray_ft.data.ingest.listing import ReadFile, SourceFile, read_file
from ray_ft.data.ingest.records import Record
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.journal import Journal, Ref, read_body, read_journal
from ray_ft.errors import RayFTError

Item = SourceFile | Slice
Parsed = list[ReadFile] | list[Record]

BATCH_BYTES, BATCH_FILES = 8 * 2**20, 256  # of one task, at most
MIN_BATCH_BYTES, MIN_BATCH_FILES = 256 * 2**10, 16  # and as many as are worth one
MIN_BATCHES, BATCHES_PER_CPU = 64, 8  # a cluster that is small now may grow
MAX_STRIKES = 5  # deaths of workers at one file, after which it is left out; fewer may be bad luck
KILLER = "killed its worker"


class Head(NamedTuple):
    """What is told of a document without its text."""

    name: str
    key: str  # equal for equal content
    size: int  # characters
    is_file: bool
    is_usable: bool
    given: str = ""  # the split that its dataset gives
    signature: bytes = b""
    is_contaminated: bool = False


@dataclass(frozen=True)
class Kept:
    """An item that is done: what is told of its documents, and where they lie."""

    heads: tuple[Head, ...]
    ref: Ref | None  # None: nothing lies anywhere, since the item is not read at all


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


def item_key(item: Item, content: str, settings: str) -> bytes:
    """Equal for items that parsing makes the same of: same content under the same name, parsed in the same way."""
    about: tuple[Any, ...]
    if isinstance(item, SourceFile):
        about = (item.path, item.num_bytes, item.reason)
    else:
        about = (item.file.name, item.file.kind, item.file.origin, item.start, item.end, item.first)
    return hashlib.sha256(f"{settings}\0{content}\0{about!r}".encode("utf-8", "surrogateescape")).digest()


def batches(items: Iterable[tuple[bytes, Item]], num_cpus: int = 1) -> list[list[tuple[bytes, Item]]]:
    """Items in batches of one task each, the largest first, so that no large one is left for the end.

    There are several for each processor, as long as a batch is worth a task. What is made does not depend on it.
    """
    ordered = sorted(items, key=lambda keyed: (-size_of(keyed[1]), keyed[0]))
    wanted = max(MIN_BATCHES, BATCHES_PER_CPU * num_cpus)
    most_bytes = min(BATCH_BYTES, max(MIN_BATCH_BYTES, sum(size_of(item) for _, item in ordered) // wanted))
    most_files = min(BATCH_FILES, max(MIN_BATCH_FILES, len(ordered) // wanted))
    made: list[list[tuple[bytes, Item]]] = []
    num_bytes = 0
    for keyed in ordered:
        size = size_of(keyed[1])
        if not made or num_bytes + size > most_bytes or len(made[-1]) >= most_files:
            made.append([])
            num_bytes = 0
        made[-1].append(keyed)
        num_bytes += size
    return made


def size_of(item: Item) -> int:
    """Bytes of a file or of lines; slices of tables count their rows, and are batches of their own."""
    if isinstance(item, SourceFile):
        return item.num_bytes
    return item.end - item.start if item.file.kind == "lines" else BATCH_BYTES


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


def batch_name(items: Sequence[tuple[bytes, Item]]) -> str:
    """The same for the same items."""
    return hashlib.sha256(b"".join(key for key, _ in items)).hexdigest()[:20]


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


def heads_of(parsed: Parsed, evaluation: EvaluationRuns) -> tuple[Head, ...]:
    """What is told of each document."""
    return tuple(_record_head(p, evaluation) if isinstance(p, Record) else _file_head(p, evaluation) for p in parsed)


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
        return parse_item(item, Cleaning())
    parsed: Parsed = read_body(ref)
    return parsed


def text_of(parsed: ReadFile | Record) -> str:
    """All words of a document or of a line, as copies are told by."""
    if isinstance(parsed, ReadFile):
        return parsed.document.text if parsed.document else ""
    if parsed.text or not parsed.examples:
        return parsed.text
    example = parsed.examples[-1]
    return "\n".join([m.content for m in example.messages] or [example.prompt, example.completion])


def _file_head(read: ReadFile, evaluation: EvaluationRuns) -> Head:
    if read.document is None:
        return Head(read.file.path, "", 0, True, False)
    text = read.document.text
    signed = signature(shingles(text))
    return Head(
        name=read.file.path,
        key=content_key(text),
        size=len(text),
        is_file=True,
        is_usable=True,
        signature=b"" if signed is None else signed.tobytes(),
        is_contaminated=evaluation.found_in(text),
    )


def _record_head(record: Record, evaluation: EvaluationRuns) -> Head:
    """Lines of plain text have near copies as documents do; conversations share phrases without being copies."""
    if record.reason:
        return Head(record.name, "", 0, False, False)
    signed = signature(shingles(record.text)) if record.text else None
    text = text_of(record)
    return Head(
        name=record.name,
        key=record.key,
        size=len(text),
        is_file=False,
        is_usable=True,
        given=record.split or "",
        signature=b"" if signed is None else signed.tobytes(),
        is_contaminated=evaluation.found_in(text),
    )


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
