"""SIGKILLs on the way to storage, with file:// in its place: a death costs a segment, and what kills is given up."""

import multiprocessing
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from keyed_items import hashed

from ray_ft.config import DataConfig
from ray_ft.data.dedup.heads import text_of
from ray_ft.data.documents import ReadFile
from ray_ft.data.ingest import stage
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.manifest import list_items
from ray_ft.data.ingest.stage import KILLER, MAX_STRIKES, ParseJob, load, parse_batch
from ray_ft.data.run import segments
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.segments import Journals
from ray_ft.data.run.typed import dump
from ray_ft.storage import Store

NUM_DOCUMENTS, NUM_KILLS = 30, 20
HOW = "how"


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(NUM_DOCUMENTS):
        words = " ".join(f"word{random.Random(number).randrange(5000)}" for _ in range(40))
        (folder / f"page_{number:04d}.md").write_text(f"# Page {number}\n\n{words}.\n")
    return list(list_items(DataConfig(sources=(str(folder),)), 64))


def job(folder: str) -> ParseJob:
    return ParseJob(f"{folder}/parsed", "run", how=HOW, tries=f"{folder}/tries")


def ends(row: dict[str, Any], of: ParseJob) -> bool:
    """Whether a task in a process of its own lives to its end."""
    process = multiprocessing.get_context("fork").Process(target=parse_batch, args=(row,), kwargs={"job": of})
    process.start()
    process.join()
    return process.exitcode == 0


def die_at(monkeypatch: pytest.MonkeyPatch, is_time: Any) -> None:
    """Tasks kill themselves when a document's time has come."""
    parse = stage.parse_and_sign

    def parse_or_die(item: Any, job: Any) -> Any:
        if is_time(item):
            os.kill(os.getpid(), signal.SIGKILL)
        return parse(item, job)

    monkeypatch.setattr(stage, "parse_and_sign", parse_or_die)


def read(items: list[Item], keys: list[bytes], folder: str, here: Path) -> list[Any]:
    kept = find_kept(Journals(f"{folder}/parsed", here), Keys.of(keys))
    return [load(item, kept.ref(number))[0] for number, item in enumerate(items)]


def test_twenty_deaths_at_other_documents_lose_nothing(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hashed(items, HOW)
    keys, row = [todo.key for todo in batch], {"work": dump(batch)}
    parse_batch(row, job=job(f"file://{tmp_path}/undisturbed"))  # here, so that the others begin warm
    here, draw = f"file://{tmp_path}/killed", random.Random(0)
    deadly = set(draw.sample([todo.item.path for todo in batch], NUM_KILLS))
    died = tmp_path / "died"
    died.mkdir()

    def is_time(item: Any) -> bool:
        """Each of them is deadly once."""
        if item.path not in deadly or (died / Path(item.path).name).exists():
            return False
        (died / Path(item.path).name).touch()
        return True

    die_at(monkeypatch, is_time)
    num_deaths = 0
    while not ends(row, job(here)):
        num_deaths += 1
    assert num_deaths == NUM_KILLS
    found, wanted = (
        read(items, keys, here, tmp_path / "a"),
        read(items, keys, f"file://{tmp_path}/undisturbed", tmp_path / "b"),
    )
    assert [text_of(one) for one in found] == [text_of(one) for one in wanted]
    # The first try put nothing; after it every document is put before the next one begins, so none is done twice.
    done = Counter(entry.key for entry in segments.entries_in(f"{here}/parsed"))
    assert set(done.values()) == {1}


def test_a_document_at_which_worker_after_worker_dies_is_given_up_and_the_others_are_read(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = hashed(items[:10], HOW)
    keys, row = [todo.key for todo in batch], {"work": dump(batch)}
    deadly = batch[4].item.path
    die_at(monkeypatch, lambda item: item.path == deadly)
    here, num_deaths = f"file://{tmp_path}/killed", 0
    while not ends(row, job(here)):
        num_deaths += 1
    assert num_deaths == 1 + MAX_STRIKES  # the first try notes no document
    found = read(items[:10], keys, here, tmp_path / "a")
    reasons = {one.file.path: one.reason for one in found if isinstance(one, ReadFile)}
    assert {path for path, reason in reasons.items() if reason} == {deadly}
    assert reasons[deadly] == KILLER


def test_a_task_that_storage_refuses_ends_with_one_line(items: list[Item], tmp_path: Path) -> None:
    (tmp_path / "far").write_text("a file where a folder should be")
    result = parse_batch({"work": dump(hashed(items[:1], HOW))}, job=job(f"file://{tmp_path}/far"))
    assert '"error": "data.storage_uri: cannot ' in result["result"]


def test_a_try_notes_nothing_of_another_run(items: list[Item], tmp_path: Path) -> None:
    folder = f"file://{tmp_path}/far"
    row = {"work": dump(hashed(items[:2], HOW))}
    parse_batch(row, job=job(folder))
    assert {found.name.split("/")[0] for found in Store(f"{folder}/tries").list()} == {"run"}
