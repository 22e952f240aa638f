"""Twenty SIGKILLs at random moments of reading and writing into a server that speaks S3: the bytes of a folder."""

import hashlib
import multiprocessing
import os
import random
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from keyed_items import hashed
from word_encoder import WordEncoder

from ray_ft.config import DataConfig
from ray_ft.data.build import stage as group_module
from ray_ft.data.build.finished import groups_at
from ray_ft.data.build.job import RESULT, GroupJob, Placed
from ray_ft.data.build.stage import write_group
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.ingest.items import Todo
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.manifest import list_items
from ray_ft.data.ingest.stage import ParseJob, parse_batch
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.place import Place
from ray_ft.data.run.typed import dump
from ray_ft.recipes import Heading, Paragraph
from ray_ft.storage import joined

pytestmark = pytest.mark.long

NUM_DOCUMENTS, PER_BATCH, PER_GROUP, NUM_KILLS = 120, 6, 24, 20


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Todo]:
    monkeypatch.setattr(group_module, "_encoder", lambda *arguments: WordEncoder())
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(NUM_DOCUMENTS):
        draw = random.Random(number)
        words = " ".join(f"word{draw.randrange(5000)}" for _ in range(300))
        (folder / f"page_{number:04d}.md").write_text(f"# Page {number}\n\n{words}.\n\n## More\n\n{words[::-1]}.\n")
    return hashed(list_items(DataConfig(sources=(str(folder),)), 64), "how")


def make(batch: list[Todo], place: Place, run: str) -> None:
    """What the tasks of a run do, one after another: what is not read yet is, and what is not written yet."""
    keys = Keys.of(todo.key for todo in batch)
    kept = find_kept(place.journals, keys)
    left = [todo for number, todo in enumerate(batch) if number not in kept]
    for first in range(0, len(left), PER_BATCH):
        row = {"work": dump(left[first : first + PER_BATCH])}
        parse_batch(row, job=ParseJob(place.journals.folder, run, how="how", tries=place.tries))
    find_kept(place.journals, keys, kept)
    job = GroupJob(place.below("groups"), "", None, None, 256, (Paragraph(), Heading()), 64, seed=0, seen_fraction=0.0)
    groups_at(job.output_path).prepare()
    for first in range(0, len(batch), PER_GROUP):
        members = range(first, first + PER_GROUP)
        placed = [Placed(batch[i].item, kept.ref(i), (Placement("train"),)) for i in members]
        write_group({"name": f"group{first}", "work": dump(placed)}, job=job)


def fetch(place: Place, folder: Path) -> None:
    """The groups' files, each checked against what its result tells of it."""
    store = place.store.below("groups")
    for found in store.list():
        (folder / found.name).parent.mkdir(parents=True, exist_ok=True)
        store.fetch(found.name, folder / found.name)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != RESULT]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def num_objects(bucket: str) -> int:
    """Objects of a bucket, asked without a client of S3."""
    name, _, settings = bucket.removeprefix("s3://").partition("?")
    address = dict(part.split("=", 1) for part in settings.split("&"))["endpoint_override"]
    with urllib.request.urlopen(f"{address}/{name}?list-type=2&max-keys=1000", timeout=10) as answer:
        return int(answer.read().count(b"<Key>"))


def start(function: object, *arguments: object) -> multiprocessing.process.BaseProcess:
    """A process of its own, since a client of S3 must not have been at work in one that forks."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)  # type: ignore[arg-type]
    process.start()
    return process


def test_twenty_kills_at_random_moments_leave_the_bytes_of_a_folder(
    batch: list[Todo], bucket: str, tmp_path: Path
) -> None:
    make(batch, Place.of_folder(tmp_path / "folder"), "run")
    wanted = contents(tmp_path / "folder" / "groups")
    place, draw, num_killed = Place(joined(bucket, "killed"), tmp_path / "here"), random.Random(0), 0
    for number in range(NUM_KILLS):
        enough = num_objects(bucket) + draw.randint(1, 3)
        worker = start(make, batch, place, f"run {number // 4}")  # of a run some tasks die, and then the driver
        while worker.is_alive() and num_objects(bucket) < enough:
            worker.join(0.02)
        time.sleep(draw.uniform(0, 0.05))
        if worker.is_alive():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            num_killed += 1
        worker.join()
    last = start(make, batch, place, "last")
    last.join()
    assert last.exitcode == 0
    start(fetch, place, tmp_path / "fetched").join()
    assert contents(tmp_path / "fetched") == wanted
    assert num_killed == NUM_KILLS
