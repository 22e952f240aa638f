"""Whatever is killed, and when: the next run goes on where it was and ends with the bytes of an undisturbed one."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.data.run.journal import read_journal
from ray_ft.recipes import Heading, Paragraph

pytestmark = pytest.mark.ray

NUM_DOCUMENTS = 240  # 2% are more than the one that each of four workers may have at hand
KILLED_RUN = """
import sys
from pathlib import Path
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
sys.path.insert(0, sys.argv[2])
from test_prepare_survival import prepare_again
prepare_again(Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
"""


def _document(number: int) -> str:
    draw = random.Random(number)
    words = [f"word{draw.randrange(5000)}" for _ in range(400)]
    parts = [f"Part {i}\n------\n\n{' '.join(words[40 * i : 40 * i + 40])}\n" for i in range(10)]
    return f"Page {number}\n==========\n\n" + "\n".join(parts)


def write_pages(root: Path, num_documents: int) -> Path:
    root.mkdir()
    for number in range(num_documents):
        (root / f"page_{number:03d}.rst").write_text(_document(number))
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reStructuredText, which takes docutils some milliseconds a page: time enough to be killed in."""
    return write_pages(tmp_path_factory.mktemp("corpus") / "pages", NUM_DOCUMENTS)


def prepare_again(corpus: Path, output: Path, model_path: str) -> TrainingSet:
    """The run that all tests compare; small batches and groups, so that there are many of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.data.ingest.items.BATCH_FILES", 25)
        patch.setattr("ray_ft.data.ingest.manifest.MAX_GROUP_FILES", 40)
        return prepare_training_set(
            DataConfig(sources=(str(corpus),), recipes=(Paragraph(), Heading())),
            model=ModelConfig(name="builtin:tiny", max_seq_len=256),
            model_path=model_path,
            output_path=str(output),
            seed=0,
            inputs_digest="fingerprint",
        )


def _contents(output: Path) -> dict[str, str]:
    files = sorted(p for p in output.rglob("*") if p.is_file())
    return {str(p.relative_to(output)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _begun(output: Path) -> Counter[bytes]:
    """How often work on each document began, in all runs."""
    journals = Path(f"{output}.work", "parsed").glob("*.log")
    return Counter(e.key for path in journals for e in read_journal(path) if e.ref is None)


def _num_parsed_twice(output: Path) -> int:
    return sum(n - 1 for n in _begun(output).values())


def _num_done(output: Path) -> int:
    journals = Path(f"{output}.work", "parsed").glob("*.log")
    return sum(e.ref is not None for path in journals for e in read_journal(path))


@pytest.fixture(scope="module")
def undisturbed(
    ray_cluster: None, corpus: Path, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainingSet]:
    output = tmp_path_factory.mktemp("undisturbed") / "data"
    return output, prepare_again(corpus, output, tiny_model_path)


@pytest.fixture
def untidy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals stay as they were written, so that beginnings can be counted."""
    monkeypatch.setattr("ray_ft.data.build.tidy.compact", lambda *arguments: None)


def _workers() -> Iterator[Any]:
    """Processes of this cluster that run tasks of prepare now."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if name.startswith("ray::") and "Map(" in name:
            yield process


def test_workers_killed_at_random_cost_the_documents_at_hand(
    undisturbed: tuple[Path, TrainingSet], corpus: Path, tiny_model_path: str, tmp_path: Path, untidy: None
) -> None:
    draw, killed, stop = random.Random(0), [], threading.Event()

    def kill_three() -> None:
        for share in (0.1, 0.4, 0.7):
            workers: list[Any] = []
            while not stop.is_set() and not workers:
                far = _num_done(tmp_path / "data") >= share * NUM_DOCUMENTS
                workers = list(_workers()) if far else []
                time.sleep(0.01)
            if workers:
                victim = draw.choice(workers)
                victim.send_signal(signal.SIGKILL)
                killed.append(victim.pid)

    killer = threading.Thread(target=kill_three)
    killer.start()
    made = prepare_again(corpus, tmp_path / "data", tiny_model_path)
    stop.set()
    killer.join()
    assert len(killed) == 3
    assert _contents(tmp_path / "data") == _contents(undisturbed[0])
    assert made.num_documents == undisturbed[1].num_documents
    assert _num_parsed_twice(tmp_path / "data") < 0.02 * NUM_DOCUMENTS


@pytest.mark.parametrize("moment", ["reading", "writing"])
def test_after_a_killed_driver_the_next_run_goes_on(
    moment: str, undisturbed: tuple[Path, TrainingSet], corpus: Path, tiny_model_path: str, tmp_path: Path, untidy: None
) -> None:
    output = tmp_path / "data"
    if moment == "reading":
        import ray

        command = [
            sys.executable,
            "-c",
            KILLED_RUN,
            ray.get_runtime_context().gcs_address,
            str(Path(__file__).parent),
            str(corpus),
            str(output),
            tiny_model_path,
        ]
        with (tmp_path / "log").open("wb") as log:
            run = subprocess.Popen(command, stdout=log, stderr=log)
        while _num_done(output) < NUM_DOCUMENTS // 2:
            assert run.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    else:  # a driver that died when half of the groups were written leaves the others, and half a group
        shutil.copytree(f"{undisturbed[0]}.work", f"{output}.work")
        groups = sorted((tmp_path / "data.work" / "groups").iterdir())
        for group in groups[::2]:
            shutil.rmtree(group)
        shutil.copytree(groups[1], groups[1].with_name(f"{groups[1].name}.0.partial"))
    prepare_again(corpus, output, tiny_model_path)
    assert _contents(output) == _contents(undisturbed[0])
    assert _num_parsed_twice(output) < 0.02 * NUM_DOCUMENTS
    assert not list(tmp_path.glob("data.work/groups/*.partial"))


def test_after_changes_only_changed_files_are_read_and_the_bytes_are_those_of_a_fresh_run(
    undisturbed: tuple[Path, TrainingSet], corpus: Path, tiny_model_path: str, tmp_path: Path, untidy: None
) -> None:
    output, changed = tmp_path / "data", tmp_path / "pages"
    shutil.copytree(corpus, changed)
    shutil.copytree(f"{undisturbed[0]}.work", f"{output}.work")
    before = _begun(output)
    (changed / "page_007.rst").write_text(_document(7).replace("word", "other"))
    (changed / "page_100.rst").unlink()
    (changed / "page_900.rst").write_text(_document(900))
    made = prepare_again(changed, output, tiny_model_path)
    assert (_begun(output) - before).total() == 2
    assert sum(made.num_documents.values()) == NUM_DOCUMENTS
    prepare_again(changed, tmp_path / "fresh", tiny_model_path)
    assert _contents(output) == _contents(tmp_path / "fresh")
    assert not any("page_100" in row for row in _paths(output))


def _paths(output: Path) -> list[str]:
    import pyarrow.parquet as pq

    paths: list[str] = pq.read_table(output / "documents.parquet", columns=["path"]).column("path").to_pylist()
    return paths
