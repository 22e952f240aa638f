"""Training on Ray: a run that is killed, worker or driver, ends in the same adapter as one that is not."""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_support import make_plan, make_training_set

from ray_ft.artifacts import TrainingSet, TunedModel
from ray_ft.config import ModelConfig, TrainConfig
from ray_ft.errors import ConfigError, TrainingError
from ray_ft.strategies import QLoRA
from ray_ft.training.fine_tune import fine_tune
from ray_ft.training.progress import read_metrics

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

NUM_STEPS = 60
# Dropout and ZeRO-2 on two workers: random state and sharded optimizer state have to come back too.
PLAN = make_plan(
    QLoRA(r=4, lora_alpha=8, lora_dropout=0.1, zero_stage=2, offload="none"),
    num_workers=2,
    micro_batch_size=1,
    accumulation=2,
)
TRAIN = TrainConfig(max_steps=NUM_STEPS, global_batch_size=4, learning_rate=1e-3, checkpoint_every=10, eval_every=30)


def train(training_set: TrainingSet, model_path: str, run_path: Path, **options: Any) -> TunedModel:
    return fine_tune(
        training_set,
        PLAN,
        model=ModelConfig(name="builtin:tiny"),
        model_path=model_path,
        train=options.pop("train", TRAIN),
        run_path=str(run_path),
        seed=3,
        inputs={"seed": 3},
        fingerprint="f",
        **options,
    )


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str) -> TrainingSet:
    return make_training_set(tmp_path_factory.mktemp("packed"), tiny_model_path)


@pytest.fixture(scope="module")
def unbroken(
    ray_cluster: None, training_set: TrainingSet, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TunedModel, list[str]]:
    """A run that nothing happens to, and its lines on the terminal."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ray_ft")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return train(training_set, tiny_model_path, tmp_path_factory.mktemp("unbroken")), lines
    finally:
        logger.removeHandler(handler)


def adapter_bytes(tuned: TunedModel) -> bytes:
    return (Path(tuned.path) / "adapter_model.safetensors").read_bytes()


def when_step_is_reached(run_path: Path, step: int, then: Callable[[], None]) -> threading.Thread:
    """Call `then` once the run has logged `step`."""

    def watch() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if any(line["step"] >= step for line in read_metrics(run_path / "metrics.jsonl")):
                then()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def workers_of(run_path: Path) -> list[int]:
    """Process ids that hold the run's lock file open: its workers, and nobody else's."""
    lock = str(run_path / "checkpoints" / ".lock")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(file.readlink()) == lock for file in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_run_says_what_it_made(unbroken: tuple[TunedModel, list[str]]) -> None:
    tuned, _ = unbroken
    assert tuned.steps == NUM_STEPS
    assert tuned.is_adapter
    assert set(tuned.metrics) == {
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "validation_loss",
        "validation_perplexity",
        "peak_memory_gib",
        "planned_memory_gib",
        "seconds_per_step",
        "planned_seconds_per_step",
    }
    assert 0.1 < tuned.metrics["peak_memory_gib"] < 8


def test_the_terminal_shows_every_step_with_loss_speed_and_time_left(unbroken: tuple[TunedModel, list[str]]) -> None:
    _, lines = unbroken
    pattern = re.compile(rf"step (\d+)/{NUM_STEPS}  loss \d+\.\d{{4}}  [\d,]+ tokens/s  .* left")
    steps = [int(found[1]) for line in lines if (found := pattern.fullmatch(line))]
    assert steps == list(range(1, NUM_STEPS + 1))


def test_the_newest_checkpoints_are_kept(unbroken: tuple[TunedModel, list[str]]) -> None:
    tuned, _ = unbroken
    kept = sorted(path.name for path in (Path(tuned.path).parent / "checkpoints").glob("step-*"))
    assert kept == ["step-000050", "step-000060"]


def test_a_killed_worker_changes_nothing(
    unbroken: tuple[TunedModel, list[str]], training_set: TrainingSet, tiny_model_path: str, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(workers_of(tmp_path)[0])
        os.kill(killed[0], signal.SIGKILL)

    watcher = when_step_is_reached(tmp_path, 25, kill)  # between the checkpoints of steps 20 and 30
    tuned = train(training_set, tiny_model_path, tmp_path)
    watcher.join()
    assert len(killed) == 1
    assert not Path(f"/proc/{killed[0]}").exists()
    assert adapter_bytes(tuned) == adapter_bytes(unbroken[0])
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl") if "loss" in line] == list(
        range(1, NUM_STEPS + 1)
    )


def test_a_worker_that_hangs_is_named_and_the_run_goes_on(
    unbroken: tuple[TunedModel, list[str]], training_set: TrainingSet, tiny_model_path: str, tmp_path: Path
) -> None:
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(workers_of(tmp_path)[-1])
        os.kill(stopped[0], signal.SIGSTOP)

    watcher = when_step_is_reached(tmp_path, 25, stop)
    try:
        tuned = train(training_set, tiny_model_path, tmp_path, train=replace(TRAIN, hang_timeout_s=4.0))
    finally:
        watcher.join()
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped[0], signal.SIGKILL)
    assert adapter_bytes(tuned) == adapter_bytes(unbroken[0])
    line = (tmp_path / "checkpoints" / "hang.txt").read_text()
    assert re.search(r"step \d+: no step has ended for 4 s .*: rank \d did not arrive, in \w+ of step \d+", line)


def test_a_killed_driver_and_resume_change_nothing(
    unbroken: tuple[TunedModel, list[str]], training_set: TrainingSet, tiny_model_path: str, tmp_path: Path
) -> None:
    import ray

    script = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import ray\n"
        "ray.init(address=sys.argv[2], log_to_driver=False)\n"
        "from test_training import *; from ray_ft.artifacts import from_json\n"
        "train(from_json(TrainingSet, json.loads(sys.argv[3])), sys.argv[4], Path(sys.argv[5]))\n"
    )
    from ray_ft.artifacts import to_json

    driver = subprocess.Popen(
        [
            sys.executable, "-c", script, str(Path(__file__).parent), ray.get_runtime_context().gcs_address,
            json.dumps(to_json(training_set)), tiny_model_path, str(tmp_path),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    when_step_is_reached(tmp_path, 25, lambda: os.kill(driver.pid, signal.SIGKILL)).join()
    assert driver.wait(timeout=10) == -signal.SIGKILL
    last = max(line["step"] for line in read_metrics(tmp_path / "metrics.jsonl"))
    assert 25 <= last < NUM_STEPS

    with pytest.raises(ConfigError, match=r"unfinished run .*`--resume`.*`--force`"):
        train(training_set, tiny_model_path, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot resume .*num_steps: 60 -> 50"):
        train(
            training_set, tiny_model_path, tmp_path, resume=True, train=TrainConfig(max_steps=50, global_batch_size=4)
        )
    tuned = train(training_set, tiny_model_path, tmp_path, resume=True)
    assert adapter_bytes(tuned) == adapter_bytes(unbroken[0])


def test_an_error_of_the_run_is_not_tried_again(
    unbroken: tuple[TunedModel, list[str]], training_set: TrainingSet, tiny_model_path: str, tmp_path: Path
) -> None:
    diverging = TrainConfig(
        max_steps=40, global_batch_size=4, learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0, checkpoint_every=1
    )  # fmt: skip
    with pytest.raises(
        TrainingError, match=r"step \d+: the (loss|gradient) is not finite on row.*go on with `--resume`"
    ) as raised:
        train(training_set, tiny_model_path, tmp_path, train=diverging)
    assert "\n" not in str(raised.value)
    # Another try would go on from the checkpoint before, meet the same batch and write it down again.
    assert len((tmp_path / "bad_batches.jsonl").read_text().splitlines()) == 1
