"""What the driver of prepare holds and how long it takes, at any number of documents.

    scripts/bench_data size run --documents 1000000 --cpus 2 --output size.json
    scripts/bench_data size steps --documents 10000000 --output steps.json

`run` prepares as many small documents, of which one in twenty is a copy and one in fourteen a near copy, from first to
last. `steps` does alone what the driver does by itself, each step in a process of its own: listing and hashing a folder
(of hard links, so that ten million files fit on a disk), placing documents by what is told of them, and the check for
leaks. Memory is the highest of the driver's process (RSS), with what it imported.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
STEPS = (
    "load_tokenizer", "read_items", "place_documents", "group_job", "name_groups", "write_groups", "publish", "tidy",
)  # fmt: skip
IN_FOLDER = 1000  # files
COPY_EVERY, NEAR_EVERY = 20, 14
Step = Callable[[Path, int], Iterator[tuple[str, float, float]]]  # what it did, and when that began by both clocks
WORDS_OF_ONE = 80
SECTIONS_OF_ONE = 5


def main(argv: list[str] | None = None) -> int:
    """Print a table; 1 where the driver took more than --limit-gib."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "steps"))
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--only", choices=sorted(ALONE), action="append", help="of `steps`; all of them if left out")
    parser.add_argument("--limit-gib", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, help="where files are made and removed again; a temporary one otherwise")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rows = (_run if given.what == "run" else _steps)(Path(folder), given)
    about = {"what": given.what, "documents": given.documents, "cpus": given.cpus, "steps": rows}
    print(_table(about))
    if given.output:
        given.output.write_text(json.dumps(about, indent=1) + "\n")
    return int(max(row["driver_gib"] for row in rows) > given.limit_gib)


def _memory() -> float:
    """The highest memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


# --- from first to last -----------------------------------------------------------------------------------------------


def _run(folder: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    import ray

    from bench.data.steps import measured_steps
    from ray_ft.config import DataConfig, ModelConfig
    from ray_ft.data.prepare import prepare_training_set, sources_found
    from ray_ft.models.builtin import build_builtin
    from ray_ft.quiet import quiet_libraries
    from ray_ft.recipes import Paragraph

    quiet_libraries()
    make_documents(folder / "docs", given.documents)
    model = build_builtin("tiny", folder / "models", pretrain_steps=0)
    data = DataConfig(sources=(str(folder / "docs"),), recipes=(Paragraph(),))
    started = time.monotonic()
    own, rows = _memory(), []

    def begin() -> None:
        """As the command does, once all is listed."""
        before = time.monotonic()
        ray.init(address="local", num_cpus=given.cpus, include_dashboard=False, log_to_driver=False)
        rows.append({"step": "start Ray, of reading", "seconds": time.monotonic() - before, "driver_gib": _memory()})

    with measured_steps(STEPS, driver_gib=_memory) as steps:
        made = prepare_training_set(
            data,
            model=ModelConfig(name="builtin:tiny", max_seq_len=1024),
            model_path=str(model),
            output_path=str(folder / "data"),
            seed=0,
            inputs_digest=lambda sources: str(sources["digest"]),
            begin=begin,
        )
    seconds = time.monotonic() - started
    ray.shutdown()
    before = time.monotonic()
    assert sources_found(data, str(folder / "data"))["digest"] == made.fingerprint
    assert sum(made.files.values()) == given.documents, made.files
    rows.append({"step": "look for changes", "seconds": time.monotonic() - before, "driver_gib": _memory()})
    told, peak = [], own
    for name, step in steps.items():
        peak += step["driver_gib"]
        told.append({"step": name, "seconds": step["seconds"], "driver_gib": peak})
    beside = seconds - sum(step["seconds"] for step in steps.values())
    told += [{"step": "beside the steps", "seconds": beside, "driver_gib": peak}]
    told += [{"step": "all", "seconds": seconds, "driver_gib": peak}]
    return [*told, *rows]


def make_documents(folder: Path, number: int) -> None:
    """Write as many small pages, some of which are copies and near copies of the one before."""
    draw = random.Random(0)
    words = [
        f"{a}{b}{c}{d}" for a in "bdfglmnprst" for b in "aeiou" for c in "bdfklmnrst" for d in ("", "en", "a", "er")
    ]
    text = ""
    for i in range(number):
        if i % IN_FOLDER == 0:
            (folder / f"{i // IN_FOLDER:05d}").mkdir(parents=True)
        if i and i % COPY_EVERY == 0:
            pass
        elif i and i % NEAR_EVERY == 0:
            text += "And a word.\n"
        else:
            body = " ".join(draw.choices(words, k=WORDS_OF_ONE))
            text = f"# Page {i}\n\n{body}.\n"
        (folder / f"{i // IN_FOLDER:05d}" / f"{i % IN_FOLDER:03d}.md").write_text(text)


# --- the driver's own steps -------------------------------------------------------------------------------------------


def _steps(folder: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    return [row for name in given.only or ALONE for row in _alone(ALONE[name], folder, given.documents)]


def _alone(step: Step, folder: Path, number: int) -> list[dict[str, Any]]:
    """A step in a process of its own, so that no other's memory counts."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        rows = pool.apply(_measured, (step, folder / step.__name__, number))
    shutil.rmtree(folder / step.__name__, ignore_errors=True)
    return rows


def _measured(step: Step, folder: Path, number: int) -> list[dict[str, Any]]:
    """A row for each part of the step, as it says that one is done."""
    folder.mkdir()
    rows = []
    for name, started, before in step(folder, number):
        rows.append(
            {
                "step": name,
                "seconds": time.monotonic() - started,
                "cpu_seconds": time.process_time() - before,
                "driver_gib": _memory(),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def list_sources(folder: Path, number: int) -> Iterator[tuple[str, float, float]]:
    """Files of a folder listed under their keys, what they held noted, and all of it looked through for changes."""
    from ray_ft.config import DataConfig
    from ray_ft.data.ingest.known import KNOWN, Known
    from ray_ft.data.ingest.listed import Listed
    from ray_ft.data.ingest.listing import sources_digest
    from ray_ft.data.ingest.manifest import keyed, list_items, noted

    for first in range(0, number, IN_FOLDER):
        part = folder / "docs" / f"{first // IN_FOLDER:05d}"
        part.mkdir(parents=True)
        (part / "000.md").write_text(f"# Page {first}\n\nWords of page {first}.\n")
        for i in range(1, min(IN_FOLDER, number - first)):
            os.link(part / "000.md", part / f"{i:03d}.md")
    time.sleep(3)  # what changed a moment ago is not noted
    data = DataConfig(sources=(str(folder / "docs"),))
    started, began_ns = _now(), time.time_ns()
    (folder / "scratch").mkdir()
    listed = Listed(folder / "scratch")
    for todo in keyed(list_items(data, 1024), Known(None)):
        listed.append(todo)
    listed.put_under("how")
    assert len(listed) == number
    yield "list and key", *started
    started, sizes = _now(), listed.sizes
    for i in range(number):  # as tasks tell it
        listed.was_read_as(i, listed.keys[i], f"{i + 1:064x}", int(sizes[i]), has_moved=False)
    yield "take what tasks read", *started
    started = _now()
    told = noted(listed, folder / KNOWN, began_ns)
    yield "note what was read", *started
    started = _now()
    assert sources_digest(data, folder / KNOWN) == told  # no file is opened: their contents are made up
    yield "look for changes", *started


def place_told_documents(folder: Path, number: int) -> Iterator[tuple[str, float, float]]:
    """Copies and near copies found, splits drawn, sections that come again told."""
    from ray_ft.data.dedup.clusters import Placing, place_columns
    from ray_ft.data.dedup.columns import Columns
    from ray_ft.data.dedup.splits import Bounds

    started = _now()
    columns = Columns.of(told(number), folder)
    yield "take what is told of documents, and make it up", *started
    started = _now()
    how = Placing(Bounds.of(validation_fraction=0.05, test_fraction=0.05), 0)
    placed = place_columns(columns, how=how, text_of=lambda i: "")
    assert placed.num_clusters > number // 30
    yield "duplicates, splits", *started


def told(number: int) -> Iterator[Any]:
    """What would be told of so many documents, with copies and near copies among them."""
    import numpy as np

    from ray_ft.data.dedup.heads import EDGE, SECTION, Head

    draw = np.random.default_rng(0)
    head: Any = None
    for i in range(number):
        if head is not None and i % COPY_EVERY == 0:
            head = head._replace(name=f"docs/{i}.md")
        elif head is not None and i % NEAR_EVERY == 0:
            signature = np.frombuffer(head.signature, dtype=np.uint32).copy()
            signature[:6] = draw.integers(0, 1 << 32, 6, dtype=np.uint32)  # 122 of 128 rows are equal: 0.95
            head = head._replace(
                name=f"docs/{i}.md", key=draw.bytes(32).hex(), signature=signature.tobytes(), size=head.size + 1
            )
        else:
            sections = np.empty(SECTIONS_OF_ONE, dtype=SECTION)
            sections["key"], sections["size"] = draw.integers(0, 1 << 63, SECTIONS_OF_ONE), 120
            sections["key"][0] = i % 1000  # in a thousandth of all documents
            edges = np.array([i % 5000, i], dtype=EDGE)
            head = Head(
                f"docs/{i}.md", draw.bytes(32).hex(), 120 * SECTIONS_OF_ONE, True, True,
                signature=draw.bytes(512), sections=sections.tobytes(), edges=edges.tobytes(),
            )  # fmt: skip
        yield head


def look_for_leaks(folder: Path, number: int) -> Iterator[tuple[str, float, float]]:
    """Documents, examples and packed rows held against each other."""
    from ray_ft.data.dedup.leakage import find_leaks
    from ray_ft.data.schemas import COLUMNS, DOCUMENTS, EXAMPLES, write_part

    empty: dict[str, Any] = {"str": "", "int": 0, "strings": [], "pairs": [], "messages": []}
    blank = {table: {name: empty.get(kind) for name, kind in COLUMNS[table].items()} for table in (DOCUMENTS, EXAMPLES)}
    (folder / "shards").mkdir()
    for part, first in enumerate(range(0, number, 20 * IN_FOLDER)):
        numbers = range(first, min(first + 20 * IN_FOLDER, number))
        documents = [
            {
                "id": f"{i:016x}:docs/{i}.md",
                "path": f"docs/{i}.md",
                "split": _split(i),
                "status": "ok",
                "cluster": f"{i:016x}",
            }
            for i in numbers
        ]
        examples = [{"document_id": row["id"], "split": row["split"]} for row in documents]
        write_part(folder, DOCUMENTS, part, [{**blank[DOCUMENTS], **row} for row in documents])
        write_part(folder, EXAMPLES, part, [{**blank[EXAMPLES], **row} for row in examples])
        chunks = [f"{row['id']}#paragraph-0" for row in documents if row["split"] == "train"]
        rows = "".join(json.dumps(chunks[i : i + 8]) + "\n" for i in range(0, len(chunks), 8))
        (folder / "shards" / f"train-{part:05d}-00.chunks.jsonl").write_text(rows)
    started = _now()
    assert find_leaks(folder) == []
    yield "look for leaks", *started


def _split(number: int) -> str:
    return "test" if number % 20 == 7 else "validation" if number % 20 == 8 else "train"


ALONE: dict[str, Step] = {"list": list_sources, "place": place_told_documents, "leaks": look_for_leaks}


def _table(about: dict[str, Any]) -> str:
    number = about["documents"]
    lines = [
        f"{number:,} documents, {about['cpus']} processors",
        "| step | s | µs a document | driver, GiB |\n|---|---|---|---|",
    ]
    for row in about["steps"]:
        each = row["seconds"] / number * 1e6
        lines.append(f"| {row['step']} | {row['seconds']:,.1f} | {each:,.0f} | {row['driver_gib']:.2f} |")
    return "\n".join(lines)
