"""The training loop that each Ray Train worker runs, told top to bottom; Ray, retries and the terminal are fine_tune's.

The loss of a step is the mean over all target tokens of its global batch. Their number is known from the shards, so
each rank divides its own sum by it, and gradients add up to the right mean whatever the ranks and accumulation steps.
Nothing in a step waits for the device: the engine decides there, and step_log.py reads the numbers one step late.
"""

import fcntl
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray_ft.errors import RayFTError
from ray_ft.training.batches import PackedRows, RowOrder, collate, evaluation_batches, micro_batches
from ray_ft.training.checkpoint import (
    FOLDER,
    STATE,
    agree,
    check_same_run,
    latest_checkpoint,
    remove_leftovers,
    save_checkpoint,
)
from ray_ft.training.engine import Engine, set_up_device, start_engine
from ray_ft.training.progress import MetricsLog
from ray_ft.training.schedules import learning_rate_factor
from ray_ft.training.step_log import Launched, StepLog
from ray_ft.training.task import TrainingTask

LOCK_SECONDS = 60  # how long a killed run's last worker may take to let go of the run folder

Report = Callable[[dict[str, Any], Path], None]
"""Tells whoever started the workers about a finished checkpoint; every rank calls it equally often."""


def run_worker(task: TrainingTask) -> dict[str, Any]:
    """Ray Train's entry: the metrics of the run, or the error that ended it.

    Our own errors are raised by all ranks alike and would come back after a restart, so they are handed over as a
    result; anything else is a failure that Ray answers by starting the workers again.
    """
    try:
        return {"metrics": fit(task, report=_report_to_ray)}
    except RayFTError as error:
        return {"error": error}


def fit(task: TrainingTask, *, report: Report) -> dict[str, float]:
    """Train from the last checkpoint, or from the base, to the last step, and write the tuned weights.

    The process group exists already. Every rank returns the same metrics.
    """
    _quiet(task)
    import torch.distributed as dist

    rank, device, precision = dist.get_rank(), *set_up_device(task)
    rows = PackedRows(task.training_set_path, "train")
    held_out = PackedRows(task.training_set_path, "validation")
    order = RowOrder(len(rows), global_batch_size=task.train.global_batch_size, seed=task.seed)

    with _only_run(task.run_path, enabled=rank == 0):
        engine = start_engine(task, device=device, precision=precision)
        step = _restore(engine, task)
        lines = MetricsLog(task.run_path, after_step=step) if rank == 0 else None
        log = StepLog(task, rows, order, lines=lines)
        engine.train()

        while step < task.num_steps:
            launched = train_step(engine, task, rows, order.global_batch(step), step=step, device=device)
            step += 1
            log.launched(launched)

            if len(held_out) and (step % task.eval_every == 0 or step == task.num_steps):
                with log.paused():
                    log.validated(step, evaluate(engine, held_out, task=task, device=device))

            if step % task.checkpoint_every == 0 or step == task.num_steps:
                with log.paused():
                    path = save_checkpoint(
                        engine,
                        task.run_path,
                        step=step,
                        identity=task.identity,
                        keep=task.train.num_checkpoints_to_keep,
                        metrics=log.metrics,
                        problem=lines.failure if lines is not None else None,
                    )
                    report({"step": step, **log.metrics}, path)

        if lines is not None:
            lines.close()
        write_output(engine, task)
        return log.metrics or dict(_last_metrics(task))


def train_step(
    engine: Engine, task: TrainingTask, rows: PackedRows, batch: list[int], *, step: int, device: Any
) -> Launched:
    """Forward, backward and update for one global batch; returns while the device is still at work."""
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    seed_step(task.seed, step, rank)
    num_targets = rows.num_targets(batch)
    mine = list(micro_batches(batch, micro_batch_size=task.micro_batch_size, rank=rank, world_size=world_size))
    losses = []
    for number, indices in enumerate(mine, start=1):
        loss = forward(engine, collate(rows, indices), num_targets=num_targets, device=device)
        losses.append(loss.detach())
        engine.backward(loss, last=number == len(mine))
    total = _sum_over_ranks(losses)
    learning_rate = task.learning_rate * learning_rate_factor(step, num_steps=task.num_steps, train=task.train)
    update = engine.step(total, learning_rate=learning_rate)
    return Launched(step + 1, batch, num_targets, learning_rate, losses, total, update)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Dropout and the like draw from the step and the rank alone, so that a resumed run needs no saved random state."""
    import numpy as np
    import torch

    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))


def forward(model: Any, batch: dict[str, Any], *, num_targets: int, device: Any) -> Any:
    """This batch's share of the global batch's mean loss: the sum of its target tokens' losses / num_targets."""
    on_device = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    # No cache: with one, transformers takes position ids for offsets into it and lets packed examples see each other.
    return model(**on_device, use_cache=False, num_items_in_batch=num_targets).loss


def evaluate(engine: Engine, rows: PackedRows, *, task: TrainingTask, device: Any) -> float:
    """Mean loss over all target tokens of a split."""
    import torch
    import torch.distributed as dist

    num_targets = rows.num_targets(list(range(len(rows))))
    losses = []
    engine.eval()
    with torch.no_grad():
        for indices, counts in evaluation_batches(
            len(rows),
            micro_batch_size=task.micro_batch_size,
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
        ):
            losses.append(forward(engine, collate(rows, indices, counts), num_targets=num_targets, device=device))
    engine.train()
    return float(_sum_over_ranks(losses))


def write_output(engine: Engine, task: TrainingTask) -> None:
    """The tuned adapter or model, put in place by a rename; all ranks call it and all learn of a failure."""
    import torch.distributed as dist

    from ray_ft.training.checkpoint import attempt
    from ray_ft.training.export import write_adapter, write_model

    weights = engine.trainable_weights()
    target = task.output_path
    partial = target.with_name(f".{target.name}.partial")
    failures: list[str] = []
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
        if task.strategy.is_adapter:
            if not any(bool(value.any()) for name, value in weights.items() if "lora_B" in name):
                failures.append("the adapter has not trained: all its lora_B weights are zero")
            attempt(failures, write_adapter, engine.module, weights, partial, task.about_base)
        else:
            attempt(failures, write_model, engine.module, weights, partial, task.base_path, task.chat_template)
        if not failures:
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
    agree(failures, step=task.num_steps, partial=partial)


# --- parts ------------------------------------------------------------------------------------------------------------


def _report_to_ray(metrics: dict[str, Any], checkpoint: Path) -> None:
    """Tell Ray the metrics and where the checkpoint lies, but do not register the checkpoint.

    Ray would note it in a snapshot that it writes in place: a full disk then ends its controller instead of the step
    that filled it, and a kill can leave a snapshot cut short, on which Ray refuses to start.
    """
    import ray.train

    ray.train.report({**metrics, "checkpoint": str(checkpoint)})


def _quiet(task: TrainingTask) -> None:
    """Settings that count only before DeepSpeed and transformers are imported, and less talk from both."""
    if not task.use_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")


@contextmanager
def _only_run(run_path: str, *, enabled: bool) -> Iterator[None]:
    """Rank 0 holds the run folder, so that workers that outlive a killed driver cannot write into the resumed run."""
    failures: list[str] = []
    folder = Path(run_path) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while enabled and not failures:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    failures.append(f"another process is training in {run_path}; stop it first")
                time.sleep(0.5)
        agree(failures)
        yield


def _restore(engine: Engine, task: TrainingTask) -> int:
    """Go on from the newest complete checkpoint, the same on all ranks; returns the step to go on with."""
    import torch.distributed as dist

    choice: list[Any] = [None]
    if dist.get_rank() == 0:
        remove_leftovers(task.run_path)
        choice[0] = latest_checkpoint(task.run_path)
    dist.broadcast_object_list(choice, src=0)
    checkpoint = choice[0]
    if checkpoint is None:
        return 0
    check_same_run(checkpoint, task.identity)
    engine.load_state(checkpoint.path / STATE)
    return int(checkpoint.step)


def _last_metrics(task: TrainingTask) -> dict[str, float]:
    """Metrics of the last checkpoint, for a run that was stopped between it and the writing of the tuned weights."""
    checkpoint = latest_checkpoint(task.run_path)
    return {} if checkpoint is None else dict(checkpoint.record["metrics"])


def _sum_over_ranks(losses: list[Any]) -> Any:
    """Sum of all ranks' losses, as a scalar in fp64 on the device."""
    import torch
    import torch.distributed as dist

    total = torch.stack(losses).double().sum()
    if dist.get_world_size() > 1:
        dist.all_reduce(total)
    return total
