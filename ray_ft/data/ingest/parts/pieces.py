"""What of a dataset is read from its beginning alone: gone through once, with a piece of each slice in the work folder.

That are packed lines and large row groups. Without pieces, each slice would unpack all that stands before it.
"""

import hashlib
import json
import logging
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ray_ft.data.ingest.datasets import Slice
from ray_ft.data.ingest.parts.lines import open_lines, packing_of, read_some
from ray_ft.data.ingest.parts.tables import Lost, Part, Read, parquet_batches, row_groups, write_rows
from ray_ft.data.ingest.records import TOOK_LONG, TOOK_MEMORY
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.budget import OutOfTime, budget, renew
from ray_ft.data.run.tasks import run_tasks
from ray_ft.data.run.typed import dump
from ray_ft.data.run.typed import load as load_typed
from ray_ft.errors import DataError, RayFTError, StorageError
from ray_ft.storage import Store, is_uri, joined, query_of

log = logging.getLogger("ray_ft")

LARGE_GROUP_BYTES = 64 * 2**20
MAX_READS = 3  # of a row group that is small, before it is cut into pieces too
PIECE = ".piece"  # suffix
RESERVED = 2  # times the memory that is used
ATTEMPTS = 3  # of a task; what cannot be cut is read from the file itself, where deaths of workers are counted


@dataclass(frozen=True)
class PieceJob:
    """Where pieces lie, and what cutting them may take; travels to the workers."""

    folder: str
    limits: Limits = field(default_factory=Limits)


def make_pieces(slices: Iterable[tuple[int, Slice]], folder: str | Path, limits: Limits) -> Mapping[int, str]:
    """The piece of each slice that needs one, by its number: in a folder that all nodes see, or below a URI.

    Raises DataError or StorageError where they cannot be written.
    """
    jobs = list(_passes(slices))
    if not jobs:
        return {}
    parts = sum(map(len, jobs))
    log.info("cutting %s slices of packed lines and large row groups into pieces", f"{parts:,}")
    rows = ({"work": dump([part for _, part in job])} for job in jobs)
    job = PieceJob(str(folder), limits)
    try:
        for result in map(json.loads, run_tasks(rows, cut_pieces, job, folder=folder, retries=ATTEMPTS)):
            if result["error"]:
                raise DataError(f"prepare stopped: {result['error']}")
    except RayFTError:
        raise
    except Exception as error:  # Ray's, of a task that failed or whose worker died
        log.warning("some pieces could not be cut, so that their files are read again and again: %s", error)
    names = {number: piece_name(part) for some in jobs for number, part in some}
    there = _names_in(str(folder))
    return {number: str(_at(str(folder), name)) for number, name in names.items() if name in there}


def remove_pieces(pieces: Mapping[int, str]) -> None:
    """Give back the space of pieces that have been read."""
    stored: dict[str, list[str]] = defaultdict(list)
    for place in pieces.values():
        if is_uri(place):
            folder, _, name = place.removesuffix(query_of(place)).rpartition("/")
            stored[folder + query_of(place)].append(name)
        else:
            Path(place).unlink(missing_ok=True)
    for folder, names in stored.items():
        Store(folder).delete(names)


def piece_name(part: Slice) -> str:
    """What the piece of a slice is called."""
    name = f"{part.file.name}\0{part.start}\0{part.end}"
    return f"{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}{PIECE}"


def _at(folder: str, name: str) -> str | Path:
    return joined(folder, name) if is_uri(folder) else Path(folder) / name


def _names_in(folder: str) -> set[str]:
    """The pieces that are there."""
    if is_uri(folder):
        return {found.name for found in Store(folder).list() if found.name.endswith(PIECE)}
    return {path.name for path in Path(folder).glob(f"*{PIECE}")}


def _passes(slices: Iterable[tuple[int, Slice]]) -> Iterator[list[tuple[int, Slice]]]:
    """Slices that need pieces, those of one pass together."""
    by_file: dict[str, list[tuple[int, Slice]]] = defaultdict(list)
    for number, part in slices:
        if part.file.kind == "parquet" or (part.file.kind == "lines" and packing_of(part.file.location)):
            by_file[part.file.name].append((number, part))
    for some in by_file.values():
        if some[0][1].file.kind == "lines":
            yield some
        else:
            yield from _by_row_group(some)


def _by_row_group(slices: Sequence[tuple[int, Slice]]) -> Iterator[list[tuple[int, Slice]]]:
    """Slices of a file, in order, that begin in the same row group or reach into it, where it is large or they many."""
    import pyarrow.parquet as pq

    try:
        groups = row_groups(pq.read_metadata(slices[0][1].file.location))
    except Exception:  # it has changed since it was cut, which reading will tell
        return
    taken = 0
    for group in groups:
        end = taken
        while end < len(slices) and slices[end][1].start < group.end:
            end += 1
        some = [one for one in slices[taken:end] if one[1].end > group.first]
        if some and (group.num_bytes > LARGE_GROUP_BYTES or len(some) > MAX_READS):
            yield some
        taken = end


# --- one task ---------------------------------------------------------------------------------------------------------


def cut_pieces(row: dict[str, Any], *, job: PieceJob) -> dict[str, Any]:
    """Go through a file once and keep the piece of each slice."""
    slices = load_typed(list[Slice], row["work"])
    error = ""
    try:
        with tempfile.TemporaryDirectory() as here:
            folder = _Folder(job.folder, Path(here))
            left = [part for part in slices if piece_name(part) not in folder.there]
            if left:
                cut = _cut_lines if left[0].file.kind == "lines" else _cut_rows
                cut(left, folder, job.limits)
    except (DataError, StorageError) as why:
        error = str(why)
    except OSError as why:
        error = f"cannot write {why.filename or job.folder}: {why.strerror or why}"
    return {"result": json.dumps({"error": error})}


class _Folder:
    """Where pieces go: one appears whole or not at all."""

    def __init__(self, root: str, here: Path) -> None:
        if not is_uri(root):
            Path(root).mkdir(parents=True, exist_ok=True)
        self.root, self.here, self.there = root, here, _names_in(root)

    @contextmanager
    def piece(self, part: Slice) -> Iterator[Path]:
        """The file of a new piece."""
        name = piece_name(part)
        partial = (self.here if is_uri(self.root) else Path(self.root)) / f"{uuid.uuid4().hex}.partial"
        yield partial
        if is_uri(self.root):
            Store(self.root).send(name, partial)
            partial.unlink()
        else:
            partial.rename(Path(self.root) / name)
        self.there.add(name)


def _cut_lines(slices: Sequence[Slice], folder: _Folder, limits: Limits) -> None:
    import pyarrow as pa

    place = 0
    with open_lines(slices[0].file.location, slices[0].file.name) as stream:
        for part in slices:
            place += sum(map(len, _next_bytes(stream, part.start - place)))
            with folder.piece(part) as path, pa.CompressedOutputStream(str(path), "zstd") as piece:
                for some in _next_bytes(stream, part.end - part.start):
                    piece.write(some)
                    place += len(some)


def _next_bytes(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """So many bytes, or as many as there are before the file ends early."""
    while size > 0:
        try:
            some = read_some(stream, size)
        except EOFError:
            return
        if not some:
            return
        size -= len(some)
        yield some


def _cut_rows(slices: Sequence[Slice], folder: _Folder, limits: Limits) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    location = slices[0].file.location
    schema = pq.read_schema(location)
    # Address space is what is limited. It holds the file, which is mapped, and as much as a page once more, which Arrow
    # asks for and hardly uses.
    memory = RESERVED * limits.memory_bytes + Path(location).stat().st_size
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())  # which gives back what a page took
    reason = ""
    try:
        with budget(limits.seconds, memory):
            rows = _Rows(parquet_batches(location, slices[0].start, slices[-1].end, mapped=True))
            for part in slices:
                _write(part, folder, rows.up_to(part.end), schema)
    except OutOfTime:
        reason = TOOK_LONG
    except MemoryError:
        reason = TOOK_MEMORY
    finally:
        pa.set_memory_pool(before)
    for part in slices:
        if reason and piece_name(part) not in folder.there:
            _write(part, folder, iter([Lost(part.start, part.end, reason)]), schema)


def _write(part: Slice, folder: _Folder, rows: Read, schema: Any) -> None:
    with folder.piece(part) as path:
        write_rows(path, rows, schema)


class _Rows:
    """Rows that come in order, in parts that end elsewhere than slices do."""

    def __init__(self, parts: Read) -> None:
        self.parts = parts
        self.rest: Part | Lost | None = None

    def up_to(self, end: int) -> Read:
        """Those before a row."""
        while (part := self.rest or next(self.parts, None)) is not None:
            renew()
            before, self.rest = _divided(part, end)
            if before is not None:
                yield before
            if self.rest is not None:
                return


def _divided(part: Part | Lost, end: int) -> tuple[Part | Lost | None, Part | Lost | None]:
    """What of a part stands before a row, and what behind."""
    first, last = (part.first, part.end) if isinstance(part, Lost) else (part[0], part[0] + len(part[1]))
    if last <= end:
        return part, None
    if first >= end:
        return None, part
    if isinstance(part, Lost):
        return replace(part, end=end), replace(part, first=end)
    return (first, part[1].slice(0, end - first)), (end, part[1].slice(end - first))
