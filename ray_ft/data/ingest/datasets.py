"""Lists the files of the datasets and cuts them into slices, each of which one task reads; parts/rows.py reads them."""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.ingest.listing import READ_AHEAD, leads_inside, unique_prefix
from ray_ft.data.ingest.parts.lines import PACKED, Cuts, open_lines, packing_of
from ray_ft.data.ingest.records import Origin
from ray_ft.errors import ConfigError, DataError, first_line
from ray_ft.rows import REHEARSAL, Split
from ray_ft.storage import is_uri

Kind = Literal["lines", "parquet", "arrow"]
KINDS: dict[str, Kind] = {".jsonl": "lines", ".ndjson": "lines", ".json": "lines", ".parquet": "parquet"}
HEAD_BYTES = 64
SAVED_DATASET, SAVED_SPLITS = "state.json", "dataset_dict.json"
"""Files that mark what `Dataset.save_to_disk` and `DatasetDict.save_to_disk` wrote."""
SPLIT_WORDS: dict[str, Split] = {
    "train": "train", "training": "train", "test": "test", "validation": "validation", "valid": "validation",
    "val": "validation", "dev": "validation", "eval": "validation",
}  # fmt: skip
SPREAD = re.compile(rb"\{[ \t\r]*+\n\s*+\"")  # an object that does not end on its line
SPLIT_WORD = re.compile(rf"(?:^|[-_./])({'|'.join(SPLIT_WORDS)})(?=[-_./\d]|$)")


@dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset, or one split that save_to_disk wrote."""

    name: str  # as the data names it
    location: str
    kind: Kind
    origin: Origin
    stamps: tuple[tuple[int, int], ...] = ()  # size and time of change of all that it consists of, when it was listed


@dataclass(frozen=True)
class Slice:
    """Part of a file: bytes from `start` to `end` of lines, or rows of a table; `first` is its first line's number.

    Of packed lines the bytes are those that they unpack to.
    """

    file: DatasetFile
    start: int
    end: int
    first: int
    piece: str = ""  # where it lies alone, while a run is under way
    is_cut_short: bool = False  # whether the file ends within it, before its end


def list_datasets(data: DataConfig) -> list[DatasetFile]:
    """The files of every dataset, in the order of the configuration and of their names.

    Raises ConfigError for a path that does not exist, DataError for one without a file of a known format.
    """
    taken: set[str] = {REHEARSAL} if data.rehearsal is not None else set()
    return [file for dataset in data.datasets for file in _files_of(dataset, unique_prefix(dataset.path, taken))]


def rehearsed_file(path: Path, *, weight: float) -> DatasetFile:
    """The file of what the base answered, which is read as a dataset of the train split."""
    origin = Origin("", REHEARSAL, REHEARSAL, "train", weight)
    return DatasetFile(f"{REHEARSAL}/{path.name}", str(path.absolute()), "lines", origin, _stamps(path, "lines"))


def datasets_digest(data: DataConfig) -> dict[str, Any]:
    """What the datasets hold now: {"digest", "num_files", "num_bytes"}. Raises as `list_datasets`."""
    files = list_datasets(data)
    paths = [(f.name, path) for f in files for path in _contents(f)]
    hasher, num_bytes = hashlib.sha256(), 0
    with ThreadPoolExecutor(READ_AHEAD) as threads:
        for (name, path), content in zip(paths, threads.map(_hash, [path for _, path in paths]), strict=True):
            hasher.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
            num_bytes += path.stat().st_size
    return {"digest": hasher.hexdigest()[:16], "num_files": len(files), "num_bytes": num_bytes}


def content_of(file: DatasetFile) -> str:
    """SHA-256 of what a file, or a saved dataset, holds."""
    return hashlib.sha256("".join(_hash(path) for path in _contents(file)).encode()).hexdigest()


def has_changed(file: DatasetFile, content: str) -> bool:
    """Whether a file holds something else than when it was listed, and `content_of` said `content`."""
    return _stamps(Path(file.location), file.kind) != file.stamps and content_of(file) != content


def cut_into_slices(files: list[DatasetFile], *, slice_bytes: int) -> list[Slice]:
    """Slices of about `slice_bytes`; the same files give the same slices everywhere."""
    cut = {"lines": _line_slices, "parquet": _parquet_slices, "arrow": _arrow_slices}
    return [part for file in files for part in cut[file.kind](file, slice_bytes)]


# --- listing ----------------------------------------------------------------------------------------------------------


def _files_of(dataset: DatasetConfig, prefix: str) -> list[DatasetFile]:
    root = Path(dataset.path).expanduser()
    if is_uri(dataset.path):
        raise ConfigError(
            f"data.datasets: {dataset.path!r} is a URI, and datasets are read from files and folders; copy it to "
            "storage that all nodes share"
        )
    if not root.exists():
        raise ConfigError(
            f"data.datasets: no such file or folder {dataset.path!r} (from {Path.cwd()}); give a JSONL or Parquet "
            "file, or a folder of them"
        )
    found = list(_parts(root))
    if not found:
        raise DataError(f"data.datasets: {dataset.path!r} holds no {' '.join(KINDS)} file and no saved dataset")
    words = {relative: _split_word(relative) for relative, _, _ in found}
    # A single file is divided by lot, whatever it is called: else `train.jsonl` would hold nothing out.
    has_splits = len({word for word in words.values() if word}) > 1
    files = []
    for relative, location, kind in found:
        own = (words[relative] or "train") if has_splits else None
        split: Split | None = own if dataset.split == "auto" else dataset.split
        name = f"{prefix}/{relative}" if relative and prefix else prefix or relative
        origin = Origin("", prefix or root.resolve().name, dataset.format, split, dataset.weight, dataset.turns)
        location = location.absolute()
        files.append(DatasetFile(name, str(location), kind, origin, _stamps(location, kind)))
    return files


def _parts(root: Path) -> Iterator[tuple[str, Path, Kind]]:
    """Path below the root ("" for a file itself), location and kind, sorted by path."""
    if root.is_file():
        if (kind := _kind_of(root)) is None:
            raise DataError(
                f"data.datasets: {str(root)!r} is none of {' '.join(KINDS)}, nor lines packed as {' '.join(PACKED)}; "
                "unpack or convert it first"
            )
        yield "", root, kind
    elif (root / SAVED_SPLITS).is_file():
        for folder in sorted(p for p in root.iterdir() if (p / SAVED_DATASET).is_file()):
            yield folder.name, folder, "arrow"
    elif (root / SAVED_DATASET).is_file():
        yield "", root, "arrow"
    else:
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root).as_posix()
            hidden = any(part.startswith(".") for part in relative.split("/"))
            kind = None if hidden else _kind_of(path)
            is_twin = bool(kind and packing_of(path)) and path.with_suffix("").is_file()  # of one that is unpacked
            if kind and not is_twin and path.is_file() and leads_inside(path, root):
                yield relative, path, kind


def _kind_of(path: Path) -> Kind | None:
    """What a file is by its name; None where it is no part of a dataset."""
    if not packing_of(path):
        return KINDS.get(path.suffix.lower())
    return "lines" if KINDS.get(path.with_suffix("").suffix.lower()) == "lines" else None


def dataset_files(path: str) -> Iterator[Path]:
    """The files of a dataset, as it names them: what `list_datasets` finds, and what tells how that is read."""
    root = Path(path).expanduser()
    for _, location, kind in _parts(root):
        if kind != "arrow":
            yield location
            continue
        for file in sorted(location.iterdir()):
            if file.suffix in (".arrow", ".json") and leads_inside(file, root):
                yield file
    if (root / SAVED_SPLITS).is_file():
        yield root / SAVED_SPLITS


def _split_word(relative: str) -> Split | None:
    """The split that a file's path names: `data/train-00000-of-00002.parquet` is train."""
    found = SPLIT_WORD.search(relative.lower())
    return SPLIT_WORDS[found.group(1)] if found else None


def _contents(file: DatasetFile) -> list[Path]:
    return _files_at(Path(file.location), file.kind)


def _files_at(path: Path, kind: Kind) -> list[Path]:
    return sorted(path.glob("*.arrow")) if kind == "arrow" else [path]


def _stamps(path: Path, kind: Kind) -> tuple[tuple[int, int], ...]:
    with suppress(OSError):
        return tuple((about.st_size, about.st_mtime_ns) for about in map(Path.stat, _files_at(path, kind)))
    return ()  # hashing will say why


def _hash(path: Path) -> str:
    try:
        status = path.stat()
        return _hash_file(str(path), status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"data.datasets: cannot read {path}: {error.strerror}") from None


@lru_cache(maxsize=1 << 14)
def _hash_file(path: str, inode: int, num_bytes: int, changed_ns: int) -> str:
    """SHA-256 of a file, once a process; all that tells of a change is part of the key."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- slices of each kind ----------------------------------------------------------------------------------------------


def _line_slices(file: DatasetFile, slice_bytes: int) -> Iterator[Slice]:
    try:
        with open_lines(file.location, file.name) as stream:
            _check_head(file, stream.read(HEAD_BYTES))
        with open_lines(file.location, file.name) as stream:
            cuts = Cuts(stream, slice_bytes)
            for start, end, first in cuts:
                yield Slice(file, start, end, first, is_cut_short=cuts.is_cut_short)
    except EOFError:
        raise DataError(f"data.datasets: {file.name} cannot be unpacked: it ends early") from None
    except OSError as error:
        raise ConfigError(f"data.datasets: cannot read {file.name}: {error.strerror}") from None


def _check_head(file: DatasetFile, head: bytes) -> None:
    """Raise DataError for JSON that is not written in lines."""
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] != b"[" and not SPREAD.match(head):
        return
    what, every = ("one JSON array", "'.[]'") if head[:1] == b"[" else ("JSON over several lines", ".")
    name = Path(file.name)
    unpacked = name.with_suffix("") if packing_of(name) else name
    written = f"{unpacked.stem}{'-lines' if unpacked.suffix == '.jsonl' else ''}.jsonl"
    told = f"jq -c {every} {name.name}" if unpacked == name else f"UNPACK {name.name} | jq -c {every}"
    raise DataError(f"data.datasets: {file.name} is {what}; write an object on each line: {told} > {written}")


def _parquet_slices(file: DatasetFile, slice_bytes: int) -> Iterator[Slice]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = pq.read_metadata(file.location)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"data.datasets: {file.name} cannot be read as Parquet: {first_line(error)}") from None
    num_bytes = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    yield from _row_slices(file, about.num_rows, num_bytes, slice_bytes)


def _arrow_slices(file: DatasetFile, slice_bytes: int) -> Iterator[Slice]:
    from datasets import load_from_disk

    try:
        num_rows = len(load_from_disk(file.location))
    except Exception as error:  # pyarrow's, datasets' and json's errors share no base
        raise DataError(f"data.datasets: {file.name} cannot be loaded from disk: {first_line(error)}") from None
    yield from _row_slices(file, num_rows, sum(p.stat().st_size for p in _contents(file)), slice_bytes)


def _row_slices(file: DatasetFile, num_rows: int, num_bytes: int, slice_bytes: int) -> Iterator[Slice]:
    size = max(1, num_rows * slice_bytes // max(num_bytes, 1))
    for start in range(0, num_rows, size):
        yield Slice(file, start, min(start + size, num_rows), start + 1)
