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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from training_support import MODULES, make_plan, make_training_set

from ray_ft.artifacts import TrainingSet, TunedModel, to_json
from ray_ft.config import ModelConfig, TrainConfig
from ray_ft.errors import ConfigError, TrainingError
from ray_ft.strategies import QLoRA
from ray_ft.training.fine_tune import fine_tune
from ray_ft.training.reporting.metrics import read_metrics

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.filterwarnings("ignore")]

NUM_STEPS = 60
HANG_SECONDS = 4.0
# Dropout and ZeRO-2 on two workers: random state and sharded optimizer state have to come back too.
PLAN = make_plan(
    QLoRA(r=4, lora_alpha=8, lora_dropout=0.1, zero_stage=2, offload="none"),
    num_workers=2,
    micro_batch_size=1,
    accumulation=2,
    backend_reason="native, as train.backend says",
    notes=("backend is the first word of this note, which is none on who runs the steps",),
)
TRAIN = TrainConfig(max_steps=NUM_STEPS, global_batch_size=4, learning_rate=1e-3, checkpoint_every=10, eval_every=30)


def train(training_set: TrainingSet, model_path: str, run_path: Path, **options: Any) -> TunedModel:
    return fine_tune(
        training_set,
        options.pop("plan", PLAN),
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
    """A run that nothing happens to, and its lines on the terminal with `--verbose`."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ray_ft")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        return train(training_set, tiny_model_path, tmp_path_factory.mktemp("unbroken")), lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.INFO)


def adapter_bytes(tuned: TunedModel) -> bytes:
    return (Path(tuned.path) / "adapter_model.safetensors").read_bytes()


def when_step_is_reached(
    run_path: Path, step: int, then: Callable[[], object], driver: subprocess.Popen[bytes] | None = None
) -> threading.Thread:
    """Call `then` once the run has logged `step`; nothing comes of it when the `driver` has ended before."""

    def watch() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and (driver is None or driver.poll() is None):
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


DRIVER = """
import json, os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(os.pathsep)
import ray
ray.init(address=sys.argv[2], log_to_driver=False)
from test_training import *
from ray_ft.artifacts import from_json
train(from_json(TrainingSet, json.loads(sys.argv[3])), sys.argv[4], Path(sys.argv[5]))
"""


@dataclass
class Hit:
    """A run of which first a worker and then the driver was killed, and of which a worker hung once it was resumed."""

    run_path: Path
    tuned: TunedModel
    killed: int  # the worker's process
    last: int  # step when the driver's workers were gone
    refusals: list[str]  # what was said to those who went on otherwise than by --resume


@pytest.fixture(scope="module")
def hit(
    ray_cluster: None, training_set: TrainingSet, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Hit:
    """One run for all three, because most of a run's time goes into starting its processes."""
    run_path, killed = tmp_path_factory.mktemp("hit"), list[int]()
    driver = _driver(training_set, tiny_model_path, run_path)
    # Between the checkpoints of steps 10 and 20, and after that of step 20.
    when_step_is_reached(run_path, 13, lambda: killed.append(_signal_worker(run_path, signal.SIGKILL)), driver).join()
    when_step_is_reached(run_path, 23, lambda: os.kill(driver.pid, signal.SIGKILL), driver).join()
    assert driver.wait(timeout=10) == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while workers_of(run_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    last = _last_step(run_path)

    refusals = []
    for other in (TRAIN, TrainConfig(max_steps=50, global_batch_size=4)):
        with pytest.raises(ConfigError) as refused:
            train(training_set, tiny_model_path, run_path, resume=other is not TRAIN, train=other)
        refusals.append(str(refused.value))

    stopped: list[int] = []
    watcher = when_step_is_reached(
        run_path,
        min(max(last + 2, 43), NUM_STEPS - 1),
        lambda: stopped.append(_signal_worker(run_path, signal.SIGSTOP)),
    )
    try:
        tuned = train(
            training_set, tiny_model_path, run_path, train=replace(TRAIN, hang_timeout_s=HANG_SECONDS), resume=True
        )
    finally:
        watcher.join()
        for process in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert len(killed) == len(stopped) == 1
    return Hit(run_path, tuned, killed[0], last, refusals)


def _driver(training_set: TrainingSet, model_path: str, run_path: Path) -> subprocess.Popen[bytes]:
    """A process that trains on the session's cluster."""
    import ray

    arguments = [ray.get_runtime_context().gcs_address, json.dumps(to_json(training_set)), model_path, str(run_path)]
    with (run_path / "driver.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", DRIVER, MODULES, *arguments], stdout=log, stderr=log)


def _signal_worker(run_path: Path, number: signal.Signals) -> int:
    process = workers_of(run_path)[-1]
    os.kill(process, number)
    return process


def _last_step(run_path: Path) -> int:
    return max((int(line["step"]) for line in read_metrics(run_path / "metrics.jsonl")), default=0)


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
    figures = r"loss \d+\.\d{4}, [\d,]+ tokens/s(?:, validation \d+\.\d{4})?, about .* left"
    pattern = re.compile(rf"train (\d+) of {NUM_STEPS} steps, {figures}")
    steps = [int(found[1]) for line in lines if (found := pattern.fullmatch(line))]
    assert list(dict.fromkeys(steps)) == list(range(1, NUM_STEPS + 1))  # with a validation loss once more


def test_the_terminal_says_once_who_runs_the_steps(unbroken: tuple[TunedModel, list[str]]) -> None:
    _, lines = unbroken
    assert [line for line in lines if line.startswith("backend ")] == ["backend native, as train.backend says"]


def test_the_newest_checkpoints_are_kept(unbroken: tuple[TunedModel, list[str]]) -> None:
    tuned, _ = unbroken
    kept = sorted(path.name for path in (Path(tuned.path).parent / "checkpoints").glob("step-*"))
    assert kept == ["step-000050", "step-000060"]


def test_a_killed_worker_changes_nothing(unbroken: tuple[TunedModel, list[str]], hit: Hit) -> None:
    assert not Path(f"/proc/{hit.killed}").exists()
    assert adapter_bytes(hit.tuned) == adapter_bytes(unbroken[0])
    steps = [line["step"] for line in read_metrics(hit.run_path / "metrics.jsonl") if "loss" in line]
    assert steps == list(range(1, NUM_STEPS + 1))


def test_a_killed_driver_and_resume_change_nothing(unbroken: tuple[TunedModel, list[str]], hit: Hit) -> None:
    assert 23 <= hit.last < NUM_STEPS
    assert re.search(r"unfinished run .*`--resume`.*`--force`", hit.refusals[0])
    assert re.search(r"cannot resume .*num_steps: 60 -> 50", hit.refusals[1])
    assert adapter_bytes(hit.tuned) == adapter_bytes(unbroken[0])


def test_a_worker_that_hangs_is_named_and_the_run_goes_on(unbroken: tuple[TunedModel, list[str]], hit: Hit) -> None:
    line = (hit.run_path / "checkpoints" / "hang.txt").read_text()
    said = rf"step \d+: no step has ended for {HANG_SECONDS:g} s .*: rank \d did not arrive, in \w+ of step \d+"
    assert re.search(said, line)
    assert adapter_bytes(hit.tuned) == adapter_bytes(unbroken[0])


def test_an_error_of_the_run_is_not_tried_again(
    ray_cluster: None, training_set: TrainingSet, tiny_model_path: str, tmp_path: Path
) -> None:
    diverging = TrainConfig(
        max_steps=40, global_batch_size=4, learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0, checkpoint_every=1
    )  # fmt: skip
    alone = replace(PLAN, num_workers=1, gradient_accumulation_steps=4)
    with pytest.raises(
        TrainingError, match=r"step \d+: the (loss|gradient) is not finite on row.*go on with `--resume`"
    ) as raised:
        train(training_set, tiny_model_path, tmp_path, train=diverging, plan=alone)
    assert "\n" not in str(raised.value)
    # Another try would go on from the checkpoint before, meet the same batch and write it down again.
    assert len((tmp_path / "bad_batches.jsonl").read_text().splitlines()) == 1
