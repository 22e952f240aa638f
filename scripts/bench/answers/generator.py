"""An engine that writes training data: `prepare` with data.generator, killed on the way where asked."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from bench.answers.models import make_base

LETTERS = "abcdefghijklmnop"
PREPARE = """
import json, sys
import ray
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.engines import ENGINES
from ray_ft.errors import DataError
from ray_ft.models.folder import resolve_model
from ray_ft.recipes import QA

given = json.loads(sys.argv[1])
ray.init(address="local", include_dashboard=False, log_to_driver=False)
try:
    prepare_training_set(
        DataConfig(
            sources=(given["sources"],), recipes=(QA(questions_per_chunk=1, max_chunk_tokens=400),),
            generator=ENGINES[given["engine"]](), answers_path=given["answers"], deduplicate="none",
            validation_fraction=0, test_fraction=0,
        ),
        model=ModelConfig(name="base", max_seq_len=2048),
        model_path=resolve_model(given["model"], output_dir=given["output"] + ".model"),
        output_path=given["output"], seed=0, inputs_digest="",
    )
except DataError as error:  # what random weights write is grounded in no passage
    print(error)
"""


def measure(
    folder: Path, *, engine: str, shape: str, model: str | None, passages: int, killed_at: float
) -> list[dict[str, Any]]:
    """A row: passages a second once the engine is loaded, the share of answers that parse, and what was asked twice.

    A passage is asked for its training pair and for its exam question.
    `killed_at`: the share of answers after which the first `prepare` dies by SIGKILL; 0 kills none.
    """
    dtype = "float32" if shape == "tiny" else "bfloat16"
    work = folder / f"generator-{engine}-{time.time_ns()}"
    given = {"engine": engine, "model": model or make_base(folder / shape, shape, dtype=dtype),
             "sources": str(_write_pages(work / "pages", passages, has_words=model is not None)),
             "answers": str(work / "answers"), "output": str(work / "data")}  # fmt: skip
    before = 0
    if killed_at:
        _prepare(given, work, kill_after=int(killed_at * passages))
        before = len(_entries(work))
    started = time.time()
    loaded = _prepare(given, work)
    entries = _entries(work)
    texts = dict(entries)
    ended = max(path.stat().st_mtime for path in _journals(work))
    row = {
        "generator": engine, "model": model or shape, "passages": passages,
        "answers_before_kill": before, "answers_after": len(entries) - before,
        "asked_twice": len(entries) - len(texts), "parse": round(sum(map(_parses, texts.values())) / len(texts), 4),
        "characters_each": round(sum(map(len, texts.values())) / len(texts)), "load_s": round(loaded - started, 1),
        "passages_per_s": round(passages * (1 - before / len(entries)) / (ended - loaded), 2),
    }  # fmt: skip
    print(row, flush=True)
    return [row]


def _write_pages(folder: Path, count: int, *, has_words: bool) -> Path:
    """Pages of one passage each: facts about invented ships, or letters where a letter is a token."""
    folder.mkdir(parents=True)
    draw = random.Random(3)
    for number in range(count):
        if has_words:
            a, b = draw.randrange(4, 90), draw.randrange(100, 900)
            text = (
                f"Ship {number} was built in {1900 + a} and carries {b} passengers. Its crew of {a} people meets every "
                f"morning at {draw.randrange(5, 9)} o'clock in cabin {draw.randrange(10, 99)}, where the captain reads "
                f"the log of the day before. It burns {b * 3} litres of fuel on a crossing of {a} miles."
            )
        else:
            text = " ".join("".join(draw.choice(LETTERS) for _ in range(6)) for _ in range(40)) + "."
        (folder / f"{number:05d}.md").write_text(f"# Ship {number}\n\n{text}\n")
    return folder


def _prepare(given: dict[str, Any], work: Path, *, kill_after: int | None = None) -> float:
    """`prepare` in a process of its own; returns when its engine was loaded, which is when its journal appears."""
    known, loaded = set(_journals(work)), 0.0
    with (work / "prepare.log").open("a") as log:
        command = [sys.executable, "-c", PREPARE, json.dumps(given)]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None:
            if not loaded and set(_journals(work)) - known:
                loaded = time.time()
            if kill_after is not None and len(_entries(work)) >= kill_after:
                _kill(process.pid)
            time.sleep(0.05 if not loaded else 0.5)
    if not loaded or (kill_after is None and process.returncode):
        raise SystemExit(f"prepare ended with {process.returncode}:\n{(work / 'prepare.log').read_text()[-3000:]}")
    return loaded


def _kill(pid: int) -> None:
    """A process and all that it started, workers of Ray too."""
    root = psutil.Process(pid)
    for one in [*root.children(recursive=True), root]:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    root.wait(30)


def _journals(work: Path) -> list[Path]:
    return sorted((work / "answers").glob("*.log"))


def _entries(work: Path) -> list[tuple[bytes, str]]:
    """Every answer that was kept, by its request."""
    from ray_ft.data.run.journal import read_body, read_journal

    found = (entry for path in _journals(work) for entry in read_journal(path))
    return [(entry.key, read_body(entry.ref, str)) for entry in found if entry.ref is not None]


def _parses(text: str) -> bool:
    """Whether an answer is JSON of the schema of pairs."""
    try:
        pairs = json.loads(text)["pairs"]
        return all(set(pair) == {"question", "answer", "evidence", "rephrasings"} for pair in pairs)
    except (ValueError, TypeError, KeyError):
        return False
