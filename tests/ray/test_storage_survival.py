"""Workers are killed while a set goes into storage: it ends with the bytes of a set in a folder."""

import hashlib
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from test_prepare_survival import prepare_again, write_pages

from ray_ft.storage import joined, parts_of

pytestmark = [pytest.mark.ray, pytest.mark.long]

NUM_DOCUMENTS = 120


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pages(tmp_path_factory.mktemp("corpus") / "pages", NUM_DOCUMENTS)


def contents(path: str) -> dict[str, str]:
    folder = parts_of(path, without="nothing")
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".used"]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_a_worker_killed_in_its_batch_costs_a_segment_and_the_set_is_the_same(
    ray_cluster: None, corpus: Path, bucket: str, tiny_model_path: str, tmp_path: Path
) -> None:
    wanted = contents(prepare_again(corpus, tmp_path / "data", tiny_model_path).path)
    killed: list[int] = []
    stop = threading.Event()

    def kill() -> None:
        while not stop.is_set() and len(killed) < 3:
            time.sleep(0.3)
            for process in psutil.Process().children(recursive=True):
                try:
                    if " ".join(process.cmdline()).startswith("ray::") and "Map(" in " ".join(process.cmdline()):
                        process.send_signal(signal.SIGKILL)
                        killed.append(process.pid)
                        break
                except psutil.Error:
                    continue

    killer = threading.Thread(target=kill)
    killer.start()
    made = prepare_again(corpus, joined(bucket, "sets", "workers"), tiny_model_path)  # type: ignore[arg-type]
    stop.set()
    killer.join()
    assert killed
    assert contents(made.path) == wanted
