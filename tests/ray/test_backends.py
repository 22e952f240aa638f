"""DeepSpeed and our own engines on two workers: the same losses and weights, and neither goes on from the other."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training_support
from safetensors.torch import load_file
from training_support import Workers, make_training_set, task_for, training_lines

from ray_ft.errors import ConfigError
from ray_ft.strategies import Full
from ray_ft.training.checkpoints.record import check_same_run, latest_checkpoint
from ray_ft.training.task import TrainingTask

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]

STRATEGIES = {f"full-{stage}": Full(zero_stage=stage, offload="none") for stage in (0, 1, 2)}
TRAIN = replace(training_support.TRAIN, max_steps=4, checkpoint_every=2, eval_every=4)
BACKENDS = ("native", "deepspeed", "resumed")
Tasks = dict[tuple[str, str], TrainingTask]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, two_workers: Workers) -> Tasks:
    """A run of two micro-batches for each strategy and backend, and DeepSpeed's again from its half-way checkpoint."""
    folder = tmp_path_factory.mktemp("backends")
    training_set = make_training_set(folder / "data", tiny_model_path)
    found: Tasks = {}
    for name, strategy in STRATEGIES.items():
        for backend in BACKENDS:
            found[name, backend] = task_for(
                training_set, tiny_model_path, folder / f"{name}-{backend}", strategy=strategy, num_workers=2,
                micro_batch_size=1, train=TRAIN,
                backend="native" if backend == "native" else "deepspeed",
            )  # fmt: skip
    for backend in BACKENDS:
        for name in STRATEGIES:
            if backend == "resumed":
                kept = Path("checkpoints") / "step-000002"
                run_path = Path(found[name, "deepspeed"].run_path)
                shutil.copytree(run_path / kept, Path(found[name, backend].run_path) / kept)
            (outcome,) = two_workers.run([found[name, backend]])
            assert isinstance(outcome, dict), f"{name} by {backend}: {outcome}"
    return found


def weights(task: TrainingTask) -> dict[str, torch.Tensor]:
    return load_file(next(task.output_path.glob("*.safetensors")))


def lines(task: TrainingTask) -> list[dict[str, Any]]:
    return training_lines(Path(task.run_path))


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_both_backends_have_the_same_losses_step_by_step(tasks: Tasks, name: str) -> None:
    ours, theirs = (lines(tasks[name, backend]) for backend in ("native", "deepspeed"))
    assert len(ours) == TRAIN.max_steps
    for key in ("loss", "grad_norm"):
        assert [line[key] for line in theirs] == pytest.approx([line[key] for line in ours], rel=2e-5)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_both_backends_write_the_same_weights(tasks: Tasks, name: str) -> None:
    ours, theirs = (weights(tasks[name, backend]) for backend in ("native", "deepspeed"))
    assert ours.keys() == theirs.keys()
    for parameter, value in ours.items():
        torch.testing.assert_close(theirs[parameter], value, rtol=1e-3, atol=2e-5, msg=parameter)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_deepspeed_resumes_bit_by_bit_at_every_stage(tasks: Tasks, name: str) -> None:
    unbroken, resumed = weights(tasks[name, "deepspeed"]), weights(tasks[name, "resumed"])
    assert all(torch.equal(resumed[parameter], value) for parameter, value in unbroken.items())


@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize(("written", "read"), [("native", "deepspeed"), ("deepspeed", "native")])
def test_a_checkpoint_of_one_backend_is_refused_by_the_other(tasks: Tasks, name: str, written: str, read: str) -> None:
    checkpoint = latest_checkpoint(tasks[name, written].run_path)
    assert checkpoint is not None
    with pytest.raises(ConfigError, match=r"cannot resume from .*: the run has changed \(.*backend.*deepspeed"):
        check_same_run(checkpoint, tasks[name, read].identity)
    check_same_run(checkpoint, tasks[name, written].identity)


@contextmanager
def one_rank_in_bf16(rank: int) -> Iterator[dict[str, Any]]:
    """Rank 1 finds another precision, as a chip of another generation would."""
    if rank == 0:
        yield {}
        return
    from ray_ft.training import worker

    plain = worker.set_up_device
    worker.set_up_device = lambda task: (plain(task)[0], "bf16")
    try:
        yield {}
    finally:
        worker.set_up_device = plain


def test_ranks_of_different_precision_are_refused_before_weights_load(tasks: Tasks, two_workers: Workers) -> None:
    task = tasks["full-0", "native"]
    (outcome,) = two_workers.run([task], faults=[one_rank_in_bf16])
    assert isinstance(outcome, ConfigError)
    said = (
        r"rank 0 on \S+ computes on cpu in fp32; rank 1 on \S+ computes on cpu in bf16: a run uses one kind of device"
    )
    assert re.match(said, str(outcome))
