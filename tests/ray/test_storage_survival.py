"""Workers and drivers are killed while a set goes into storage: the next run goes on and ends with the same bytes."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from test_prepare_survival import _document, prepare_again

from ray_ft.data.run.place import PARSED
from ray_ft.storage import Store, joined, parts_of

pytestmark = [pytest.mark.ray, pytest.mark.long]

NUM_DOCUMENTS, KILLS = 120, 20
DRIVER = """
import sys
from pathlib import Path
import ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
sys.path[:0] = [sys.argv[1]]
from test_prepare_survival import prepare_again
print("begins", flush=True)
prepare_again(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
print("ends", flush=True)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus") / "pages"
    root.mkdir()
    for number in range(NUM_DOCUMENTS):
        (root / f"page_{number:03d}.rst").write_text(_document(number))
    return root


def contents(path: str) -> dict[str, str]:
    folder = parts_of(path, without="nothing")
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".used"]
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class Run:
    """A driver with a cluster of its own, which can be killed with all of its processes."""

    def __init__(self, corpus: Path, output: str, model: str) -> None:
        command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(corpus), output, model]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.process.stdout is not None
        assert "begins" in iter(self.process.stdout.readline, "").__next__()

    def ends(self, seconds: float) -> bool:
        try:
            return self.process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        children = psutil.Process(self.process.pid).children(recursive=True)
        for process in [psutil.Process(self.process.pid), *children]:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait()


def test_twenty_kills_on_the_way_to_storage_and_the_set_is_that_of_a_folder(
    ray_cluster: None, corpus: Path, bucket: str, tiny_model_path: str, tmp_path: Path
) -> None:
    wanted = contents(prepare_again(corpus, tmp_path / "data", tiny_model_path).path)
    output, draw = joined(bucket, "sets", "killed"), random.Random(0)
    num_done = []
    for number in range(KILLS):
        run = Run(corpus, output, tiny_model_path)
        run.ends(draw.uniform(0.5, 5.0) if number % 2 else draw.uniform(2.0, 8.0))
        run.kill()
        num_done.append(len(Store(output).below(PARSED).list()))
    made = prepare_again(corpus, output, tiny_model_path)  # type: ignore[arg-type]
    assert contents(made.path) == wanted
    assert max(num_done) > 0


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
