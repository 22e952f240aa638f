"""Twenty SIGKILLs at random moments of reading and of writing: nothing is lost, and next to nothing is done twice."""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from keyed_items import hashed
from word_encoder import WordEncoder

from ray_ft.config import DataConfig
from ray_ft.data.build import stage as group_module
from ray_ft.data.build.job import RESULT, GroupJob, Placed
from ray_ft.data.build.stage import write_group
from ray_ft.data.dedup.heads import text_of
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.manifest import list_items
from ray_ft.data.ingest.stage import ParseJob, load, parse_batch
from ray_ft.data.run.journal import read_journal
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.typed import dump
from ray_ft.recipes import Heading, Paragraph

NUM_DOCUMENTS, NUM_KILLS = 1200, 20


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(NUM_DOCUMENTS):
        draw = random.Random(number)
        words = " ".join(f"word{draw.randrange(5000)}" for _ in range(40))
        (folder / f"page_{number:04d}.md").write_text(f"# Page {number}\n\n{words}.\n\n## More\n\n{words[::-1]}.\n")
    return list(list_items(DataConfig(sources=(str(folder),)), 64))


def _killed(work: Callable[[], Any], is_time: Callable[[], bool]) -> bool:
    """Run in a forked process that is killed as soon as it is time; whether it was killed before it was done."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    while process.is_alive() and not is_time():
        process.join(0.001)
    is_alive = process.is_alive()
    if is_alive:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return is_alive


def test_reading_killed_twenty_times_keeps_every_document_and_reads_hardly_any_twice(
    items: list[Item], tmp_path: Path
) -> None:
    batch = hashed(items, "how")
    keys = [todo.key for todo in batch]
    row = {"work": dump(batch)}
    parse_batch(row, job=ParseJob(str(tmp_path / "undisturbed"), "run", how="how"))
    draw, killed = random.Random(0), tmp_path / "killed"

    def num_bytes() -> int:
        return sum(path.stat().st_size for path in killed.glob("*.log"))

    size = sum(path.stat().st_size for path in (tmp_path / "undisturbed").glob("*.log"))
    for _ in range(NUM_KILLS):
        # A task dies after some dozens of documents, and the next one of the same run takes its place.
        enough = num_bytes() + draw.uniform(0.002, 0.04) * size
        has_enough = partial(lambda enough: num_bytes() > enough, enough)
        assert _killed(lambda: parse_batch(row, job=ParseJob(str(killed), "run", how="how")), has_enough)
    parse_batch(row, job=ParseJob(str(killed), "run", how="how"))

    def texts(folder: Path) -> list[str]:
        kept = find_kept(folder, Keys.of(keys))
        return [text_of(load(item, kept.ref(i))[0]) for i, item in enumerate(items)]

    assert texts(killed) == texts(tmp_path / "undisturbed")
    begun = Counter(e.key for path in killed.glob("*.log") for e in read_journal(path) if e.ref is None)
    assert len(begun) == NUM_DOCUMENTS
    assert sum(n - 1 for n in begun.values()) <= NUM_KILLS < 0.02 * NUM_DOCUMENTS


def test_writing_killed_twenty_times_leaves_a_group_that_is_whole_or_none(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "_encoder", lambda *arguments: WordEncoder())
    batch = hashed(items[:100], "how")
    parse_batch({"work": dump(batch)}, job=ParseJob(str(tmp_path / "p"), "run", how="how"))
    kept = find_kept(tmp_path / "p", Keys.of(todo.key for todo in batch))
    placed = [Placed(item, kept.ref(i), (Placement("train"),)) for i, item in enumerate(items[:100])]
    row = {"name": "group", "work": dump(placed)}

    def job(folder: str) -> GroupJob:
        recipes = (Paragraph(), Heading())
        return GroupJob(str(tmp_path / folder), "", None, None, 256, recipes, 64, seed=0, seen_fraction=0.0)

    started = time.monotonic()
    write_group(row, job=job("undisturbed"))
    seconds = time.monotonic() - started
    draw, num_killed = random.Random(1), 0
    for _ in range(10 * NUM_KILLS):
        end = time.monotonic() + draw.uniform(0.05, 0.9) * seconds
        is_over = partial(lambda end: time.monotonic() > end, end)
        was_killed = _killed(lambda: write_group(row, job=job("killed")), is_over)
        num_killed += was_killed
        assert (tmp_path / "killed" / "group").exists() <= (tmp_path / "killed" / "group" / RESULT).is_file()
        if not was_killed:
            shutil.rmtree(tmp_path / "killed" / "group")
        if num_killed == NUM_KILLS:
            break
    assert num_killed == NUM_KILLS
    write_group(row, job=job("killed"))
    assert _contents(tmp_path / "killed" / "group") == _contents(tmp_path / "undisturbed" / "group")


def _contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
