"""Ctrl-C in the middle of a run: the workers are gone, the caller hears of it, and its handler is what it was."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ray_ft.training.driver import fit_interruptibly

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


def test_an_interrupted_run_ends_with_its_workers(ray_cluster: None, tmp_path: Path) -> None:
    from ray.train import RunConfig, ScalingConfig

    began, before = tmp_path / "pid.txt", signal.getsignal(signal.SIGINT)

    def work(config: dict[str, str]) -> None:
        Path(config["began"]).write_text(str(os.getpid()))
        threading.Event().wait(120)

    def interrupt() -> None:
        deadline = time.monotonic() + 100
        while not (began.is_file() and began.read_text()) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        fit_interruptibly(
            train_loop_per_worker=work,
            train_loop_config={"began": str(began)},
            scaling_config=ScalingConfig(num_workers=1),
            run_config=RunConfig(name="run", storage_path=str(tmp_path)),
        )
    watcher.join()
    worker = Path(f"/proc/{began.read_text()}")
    deadline = time.monotonic() + 20
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.exists()
    assert signal.getsignal(signal.SIGINT) is before
