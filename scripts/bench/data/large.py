"""What prepare holds and how fast it reads, for inputs of any size: one file of a gigabyte of each kind.

    scripts/bench_data large passes --mb 1000 --folder /scratch --output large-passes.json
    scripts/bench_data large read --mb 1000 --kinds parquet --folder /scratch --output large-read.json

For each kind a file of so many megabytes is made and removed again. `read` reads it from first to last (listing,
hashing, cutting, parsing, cleaning, signing) on Ray. `passes` does alone, each in a process of its own, what goes
through the file as a whole: hashing and cutting lines or listing members, which the driver does, and cutting pieces,
which a task does; and reads some slices of it, as tasks do. Memory is the highest of any process that is its own: RSS
without what is shared, which are pages of files and of Ray's object store. Kinds are chats (`jsonl`, `jsonl.gz`,
`parquet`, the last with one row group), texts of a megabyte in Parquet (`texts`, one row group; `one-page`, in one
page), a line of half of all that is between others (`long-line`), and pages of text in archives (`tar.gz`, `tar.zst`,
`tar`, `zip`).
"""

import argparse
import gzip
import io
import json
import logging
import multiprocessing
import os
import random
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.watch import Watch

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
KINDS = ("jsonl", "jsonl.gz", "parquet", "texts", "one-page", "long-line", "tar.gz", "tar.zst", "tar", "zip")
PAGE_WORDS, TURN_WORDS, TEXT_WORDS, LINE_WORDS = 1200, 120, 165_000, 15
MAX_SEQ_LEN, SOME = 1024, 24  # items that are read of each
MB = 10**6


class OwnMemory(Watch):
    """Of each process the memory that is its own."""

    def size_of(self, process: Any) -> int:
        """RSS without pages of files and of shared memory."""
        about = process.memory_info()
        return int(about.rss - about.shared)


def main(argv: list[str] | None = None) -> int:
    """Print a table; 1 where a process took more than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("passes", "read"))
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where files are made and removed again; a temporary one otherwise")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(argv)
    rows = []
    for kind in given.kinds.split(","):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            # A process for each, so that no other's memory counts.
            with multiprocessing.get_context("fork").Pool(1) as pool:
                path, num_bytes = pool.apply(make, (kind, Path(folder), given.mb * MB))
            about = {"kind": kind, "mb": num_bytes / MB, "file_mb": path.stat().st_size / MB}
            steps = (read_on_ray,) if given.what == "read" else (change, cut, read_some)
            for step in steps:
                with multiprocessing.get_context("fork").Pool(1) as pool:
                    row = pool.apply(step, (path, Path(folder), given.cpus))
                rows.append({**about, "step": step.__name__, **row})
                print(json.dumps(rows[-1]), flush=True)
    if given.output:
        made = {"what": given.what, "cpus": given.cpus, "rows": rows}
        given.output.write_text(json.dumps(made, indent=1) + "\n")
    print(_table(rows))
    return int(any(row.get("driver_gib", 0) > 2 or row["gib"] > 1.5 for row in rows))


# --- from first to last -----------------------------------------------------------------------------------------------


def read_on_ray(path: Path, folder: Path, cpus: int) -> dict[str, Any]:
    """All of it, listed and read by tasks."""
    import ray

    from ray_ft.data.ingest import stage
    from ray_ft.data.ingest.manifest import list_items
    from ray_ft.data.run.lock import scratch
    from ray_ft.data.run.place import SCRATCH
    from ray_ft.data.sources.archive import keeping
    from ray_ft.quiet import quiet_libraries

    quiet_libraries()
    logging.getLogger("ray_ft").setLevel(logging.WARNING)
    data, work = _config(path), folder / "data.work"
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    with OwnMemory() as watch:
        started = time.monotonic()
        with scratch(work / SCRATCH), keeping(work / SCRATCH):
            read = stage.read_items(list_items(data, MAX_SEQ_LEN), data, work, retry_quarantined=False)
            seconds = time.monotonic() - started
            usable = [head.is_usable for heads in read.heads() for head in heads]
        cpu_seconds = watch.cpu_seconds()
    ray.shutdown()
    return {
        "seconds": seconds, "cpu_seconds": cpu_seconds, "read_mb": None, "driver_gib": watch.memory_of_root() / 2**30,
        "gib": watch.memory_of_others() / 2**30, "documents": len(usable), "usable": sum(usable),
    }  # fmt: skip


# --- step by step -----------------------------------------------------------------------------------------------------


def change(path: Path, folder: Path, cpus: int) -> dict[str, Any]:
    """What the driver does to see whether anything changed."""
    from ray_ft.data.prepare import datasets_digest, sources_digest

    data = _config(path)
    with _alone() as taken:
        (sources_digest if data.sources else datasets_digest)(data)
    return taken


def cut(path: Path, folder: Path, cpus: int) -> dict[str, Any]:
    """Members listed, and kept where they are packed as one; or slices cut, and their pieces where they need some."""
    from ray_ft.data.ingest.manifest import list_items
    from ray_ft.data.ingest.parts import pieces
    from ray_ft.data.ingest.sandbox import Limits
    from ray_ft.data.run.typed import dump
    from ray_ft.data.sources.archive import keeping

    def here(rows: Any, function: Any, job: Any, **options: Any) -> Iterator[str]:
        return (function({"work": row["work"]}, job=job)["result"] for row in rows)

    pieces.run_tasks = here
    (folder / "kept").mkdir()
    with _alone() as taken, keeping(folder / "kept"):
        items = list(list_items(_config(path), MAX_SEQ_LEN))
        if path.suffix in (".parquet", ".gz") and not str(path).endswith(".tar.gz"):
            made = pieces.make_pieces(enumerate(items), folder / "kept", Limits(3600, 3 * 2**29))  # type: ignore[arg-type]
            items = [replace(item, piece=made[i]) if i in made else item for i, item in enumerate(items)]  # type: ignore[arg-type]
        taken["kept_mb"] = sum(p.stat().st_size for p in (folder / "kept").glob("*")) / MB
        some = items[:: max(len(items) // SOME, 1)][:SOME]
        (folder / "items").write_bytes(dump(some))
        if _config(path).sources:  # what is kept goes with the end of the listing
            shutil.copytree(folder / "kept", folder / "copied", dirs_exist_ok=True)
    if (folder / "copied").exists():
        shutil.rmtree(folder / "kept", ignore_errors=True)
        (folder / "copied").rename(folder / "kept")
    return taken


def read_some(path: Path, folder: Path, cpus: int) -> dict[str, Any]:
    """A few hundred of the items, as a task reads them."""
    from ray_ft.data.ingest.items import Item
    from ray_ft.data.ingest.stage import ParseJob, parse_and_sign
    from ray_ft.data.run.typed import load

    items = load(list[Item], (folder / "items").read_bytes())
    num_bytes = 0
    with _alone() as taken:
        for item in items:
            for one in parse_and_sign(item, ParseJob(str(folder), "run"))[0]:
                num_bytes += one.file.num_bytes if hasattr(one, "file") else one.num_bytes
    return {**taken, "read_mb": num_bytes / MB}


@contextmanager
def _alone() -> Iterator[dict[str, Any]]:
    """Time and memory of what this process does."""
    taken: dict[str, Any] = {}
    with OwnMemory() as watch:
        yield taken
        taken["cpu_seconds"] = watch.cpu_seconds()
    taken |= {"seconds": watch.seconds, "gib": watch.memory_of_root() / 2**30}


def _config(path: Path) -> Any:
    from ray_ft.config import DataConfig, DatasetConfig
    from ray_ft.data.sources.archive import is_archive
    from ray_ft.recipes import Paragraph

    if is_archive(str(path)):
        return DataConfig(sources=(str(path),), recipes=(Paragraph(),))
    return DataConfig(datasets=(DatasetConfig(str(path)),))


# --- what is read -----------------------------------------------------------------------------------------------------


def make(kind: str, folder: Path, num_bytes: int) -> tuple[Path, int]:
    """A file of a kind, and how many bytes it holds when it is unpacked."""
    path = folder / f"input.{'parquet' if kind in ('texts', 'one-page') else 'jsonl' if kind == 'long-line' else kind}"
    words = Words(0)
    if kind in ("jsonl", "jsonl.gz", "long-line"):
        with ExitStack() as held:
            stream: Any = held.enter_context(path.open("wb"))
            if kind == "jsonl.gz":
                stream = held.enter_context(gzip.open(stream, "wb", compresslevel=1))
            size = _write_lines(stream, words, num_bytes, has_long=kind == "long-line")
    elif kind in ("parquet", "texts", "one-page"):
        size = _write_parquet(path, words, num_bytes, is_text=kind != "parquet", in_one=kind == "one-page")
    else:
        size = _write_archive(path, kind, words, num_bytes)
    return path, size


class Words:
    """Text that nobody wrote, and as good as never the same twice."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        syllables = [a + b for a in "bdfglmnprst" for b in "aeiou"]
        words = ["".join(self.draw.choices(syllables, k=self.draw.randint(1, 4))) for _ in range(20_000)]
        self.lines = [" ".join(self.draw.choices(words, k=LINE_WORDS)) for _ in range(100_000)]

    def text(self, number: int) -> str:
        """So many words, in lines."""
        return "\n".join(self.draw.choices(self.lines, k=number // LINE_WORDS))

    def chat(self) -> dict[str, Any]:
        """A conversation of four turns."""
        roles = ("user", "assistant") * 2
        return {"messages": [{"role": role, "content": self.text(TURN_WORDS)} for role in roles]}


def _write_lines(stream: Any, words: Words, num_bytes: int, *, has_long: bool) -> int:
    size = 0
    while size < num_bytes:
        if has_long and size > num_bytes // 4:
            part = b"word " * 200_000
            size += stream.write(b'{"text": "') + sum(stream.write(part) for _ in range(num_bytes // 2 // len(part)))
            size += stream.write(b'"}\n')
            has_long = False
        size += stream.write(json.dumps(words.chat()).encode() + b"\n")
    return size


def _write_parquet(path: Path, words: Words, num_bytes: int, *, is_text: bool, in_one: bool) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows() -> Iterator[dict[str, Any]]:
        size = 0
        while size < num_bytes:
            row = {"text": words.text(TEXT_WORDS)} if is_text else words.chat()
            size += len(json.dumps(row))
            yield row

    table = pa.Table.from_batches(_batches(rows(), 20 if is_text else 5000))
    table = table.combine_chunks() if in_one else table
    pq.write_table(table, path, row_group_size=len(table), compression="zstd")
    return int(pq.read_metadata(path).row_group(0).total_byte_size)


def _batches(rows: Iterator[dict[str, Any]], size: int) -> Iterator[Any]:
    import pyarrow as pa

    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield pa.RecordBatch.from_pylist(some)
            some = []
    if some:
        yield pa.RecordBatch.from_pylist(some)


def _write_archive(path: Path, kind: str, words: Words, num_bytes: int) -> int:
    size = 0

    def pages() -> Iterator[tuple[str, bytes]]:
        nonlocal size
        number = 0
        while size < num_bytes:
            content = f"Page {number}\n\n{words.text(PAGE_WORDS)}\n".encode()
            yield f"{number // 1000:04d}/{number:07d}.txt", content
            number, size = number + 1, size + len(content)

    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in pages():
                archive.writestr(name, content)
        return size
    with ExitStack() as held:
        tar = _open_tar(path, kind, held)
        for name, content in pages():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return size


def _open_tar(path: Path, kind: str, held: ExitStack) -> tarfile.TarFile:
    import pyarrow as pa

    if kind == "tar.zst":
        stream = held.enter_context(pa.CompressedOutputStream(str(path), "zstd"))
        return held.enter_context(tarfile.open(fileobj=stream, mode="w|"))
    if kind == "tar.gz":
        return held.enter_context(tarfile.open(path, "w:gz", compresslevel=1))
    return held.enter_context(tarfile.open(path, "w"))


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| kind | step | MB | s | MB/s of a core | GiB | driver, GiB |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        size = row.get("read_mb") or row["mb"]
        driver = f"{row['driver_gib']:.2f}" if "driver_gib" in row else ""
        lines.append(
            f"| {row['kind']} | {row['step']} | {size:,.0f} | {row['seconds']:,.1f} | "
            f"{size / max(row['cpu_seconds'], 0.01):,.1f} | {row['gib']:.2f} | {driver} |"
        )
    return "\n".join(lines)
