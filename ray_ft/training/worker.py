"""The training loop that each Ray Train worker runs, told top to bottom; Ray, retries and the terminal are fine_tune's.

The loss of a step is the mean over all target tokens of its global batch. Their number is known from the shards, so
each rank divides its own sum by it, and gradients add up to the right mean whatever the ranks and accumulation steps.
Nothing in a step waits for the device: the engine decides there, and step_log.py reads the numbers one step late.
"""

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ray_ft.errors import DoesNotFitError, RayFTError
from ray_ft.locks import take_lock
from ray_ft.training.backends.acceleration import as_inputs
from ray_ft.training.backends.base import Engine
from ray_ft.training.backends.choose import start_engine
from ray_ft.training.backends.device import set_up_device
from ray_ft.training.batches import PackedRows, RowOrder, collate, micro_batches
from ray_ft.training.checkpoints.probe import take_probe
from ray_ft.training.checkpoints.record import FOLDER, latest_checkpoint
from ray_ft.training.checkpoints.save import Checkpointer, Report
from ray_ft.training.early_stopping import early_stop
from ray_ft.training.health.bad_batches import BadBatches
from ray_ft.training.health.device_memory import out_of_memory
from ray_ft.training.health.last_words import FATAL, leave_note, read_note
from ray_ft.training.health.same_devices import check_devices
from ray_ft.training.health.shared_folders import check_folders
from ray_ft.training.health.slow_ranks import PassTimer
from ray_ft.training.health.watchdog import Watchdog, end_this_worker
from ray_ft.training.ranks.agreement import agree, attempt, from_rank_0
from ray_ft.training.ranks.signals import Signals, exchange
from ray_ft.training.reporting.metrics import metrics_log
from ray_ft.training.reporting.samples import Samples
from ray_ft.training.reporting.step_log import Launched, StepLog, validation_metrics
from ray_ft.training.schedules import learning_rate_factor
from ray_ft.training.task import TrainingTask
from ray_ft.training.tuned_weights import write_adapter, write_model

LOCK_SECONDS = 60  # how long a killed run's last worker may take to let go of the run folder


def run_worker(task: TrainingTask) -> dict[str, Any]:
    """Ray Train's entry: the metrics of the run, or the error that ended it.

    Our own errors are raised by all ranks alike and would come back after a restart, so they are handed over as a
    result; anything else is a failure that Ray answers by starting the workers again.
    """
    try:
        return {"metrics": fit(task, report=_report_to_ray, preempted=_preempted)}
    except RayFTError as error:
        return {"error": error}


def fit(task: TrainingTask, *, report: Report, preempted: Callable[[], bool] = lambda: False) -> dict[str, float]:
    """Train from the last checkpoint, or from the base, to the last step, and write the tuned weights.

    The process group exists already. Every rank returns the same metrics. `preempted` says whether this rank has been
    told that a machine is about to go; what the ranks were told reaches all of them with the next step's loss.
    """
    _quiet(task)
    import torch.distributed as dist

    rank, device, precision = dist.get_rank(), *set_up_device(task)
    check_folders(task)
    check_devices(device, precision)
    rows, held_out = (
        PackedRows(task.training_set_path, split, data_digest=task.identity["data_digest"])
        for split in ("train", "validation")
    )
    order = RowOrder(len(rows), global_batch_size=task.train.global_batch_size, seed=task.seed)

    with (
        _only_run(task.run_path, enabled=rank == 0),
        _watched(task) as watchdog,
        _explained(task, watchdog, device),
        ExitStack() as at_end,
    ):
        engine = start_engine(task, device=device, precision=precision)
        checkpointer = Checkpointer(task, report=report)
        step = checkpointer.restore(engine)
        lines = at_end.enter_context(metrics_log(task, step=step)) if rank == 0 else None
        log = StepLog(
            task,
            order,
            tokens_per_step=task.train.global_batch_size * rows.num_tokens / len(rows),
            bad_batches=BadBatches(task, rows),
            lines=lines,
        )
        samples = Samples(task, held_out, after_step=step, lines=lines, device=device)
        log.warn(step, [*engine.warnings, *checkpointer.take_warnings()])
        saved_for_preemption = False
        engine.train()

        with checkpointer.saved_first():
            stopped = early_stop(task.train, checkpointer.validation_losses)
            while step < task.num_steps and stopped is None:
                failed = bool(checkpointer.failures) or (lines is not None and lines.failure is not None)
                signals = Signals(failed, preempted(), checkpointer.written, log.own_seconds)
                batch = order.global_batch(step)
                launched = train_step(
                    engine, task, rows, batch, step=step, signals=signals, device=device, watchdog=watchdog
                )
                step += 1
                log.launched(launched)
                checkpointer.hear(log.heard, problem=lines.failure if lines is not None else None)
                log.warn(step, checkpointer.take_warnings())

                last = step == task.num_steps
                save = step % task.checkpoint_every == 0 or last
                if log.heard.preempted and not saved_for_preemption:
                    save = saved_for_preemption = True
                validation_loss = None
                if len(held_out) and (step % task.eval_every == 0 or last):
                    with log.paused():
                        validation_loss = evaluate(
                            engine, held_out, task=task, device=device, watchdog=watchdog, step=step
                        )
                        log.validated(step, validation_loss)
                        checkpointer.validation_losses.append(validation_loss)
                        samples.take(engine, step=step, watchdog=watchdog)
                        stopped = early_stop(task.train, checkpointer.validation_losses)
                        log.warn(step, [] if stopped is None else [stopped])
                        better = validation_loss < checkpointer.best_loss
                        save = save or stopped is not None or (task.writes_best and better)
                if save:
                    watchdog.at(step, "checkpoint")
                    with log.paused():
                        if lines is not None:
                            lines.flush()
                        checkpointer.save(engine, step=step, metrics=log.metrics, validation_loss=validation_loss)

        watchdog.at(step, "output")
        checkpointer.finish()
        best_step = checkpointer.restore_best(engine) if task.writes_best else None
        write_output(engine, task)
        checkpointer.close()
        log.warn(step, checkpointer.take_warnings())
        metrics = log.metrics or dict(_last_metrics(task))
        if best_step is not None:
            metrics |= {**validation_metrics(checkpointer.best_loss), "best_step": best_step}
        return metrics if stopped is None else {**metrics, "stopped_after_step": step}


def train_step(
    engine: Engine,
    task: TrainingTask,
    rows: PackedRows,
    batch: list[int],
    *,
    step: int,
    signals: Signals,
    device: Any,
    watchdog: Watchdog,
) -> Launched:
    """Forward, backward and update for one global batch; returns while the device is still at work."""
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    watchdog.at(step + 1, "input")
    seed_step(task.seed, step, rank)
    num_targets = rows.num_targets(batch)
    # Workers that have come or gone may leave a batch that does not divide: the rows beyond its end do not count.
    mine = list(micro_batches(len(batch), micro_batch_size=task.micro_batch_size, rank=rank, world_size=world_size))
    timer, losses = PassTimer(device), []
    for number, (places, counts) in enumerate(mine, start=1):
        watchdog.at(step + 1, "forward")
        inputs = collate(rows, [batch[i] for i in places], None if all(counts) else counts)
        loss = forward(engine, inputs, num_targets=num_targets, device=device)
        losses.append(loss.detach())
        watchdog.at(step + 1, "backward")
        engine.backward(loss, last=number == len(mine))
    timer.stop()
    watchdog.at(step + 1, "update")
    totals = exchange(losses, signals)
    learning_rate = task.learning_rate * learning_rate_factor(step, num_steps=task.num_steps, train=task.train)
    update = engine.step(totals[0], learning_rate=learning_rate)
    watchdog.at(step + 1, "reading")
    return Launched(step + 1, batch, num_targets, learning_rate, losses, totals, update, timer)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Dropout and the like draw from the step and the rank alone, so that a resumed run needs no saved random state."""
    import numpy as np
    import torch

    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))


def forward(model: Any, batch: dict[str, Any], *, num_targets: int, device: Any) -> Any:
    """This batch's share of the global batch's mean loss: the sum of its target tokens' losses / num_targets."""
    inputs = as_inputs(getattr(model, "module", model), batch, device=device)
    # No cache: with one, transformers takes position ids for offsets into it and lets packed examples see each other.
    return model(**inputs, use_cache=False, num_items_in_batch=num_targets).loss


def evaluate(
    engine: Engine, rows: PackedRows, *, task: TrainingTask, device: Any, watchdog: Watchdog, step: int
) -> float:
    """Mean loss over all target tokens of a split."""
    import torch
    import torch.distributed as dist

    num_targets = rows.num_targets(list(range(len(rows))))
    losses = []
    engine.eval()
    with torch.no_grad():
        for indices, counts in micro_batches(
            len(rows),
            micro_batch_size=task.micro_batch_size,
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
        ):
            watchdog.at(step, "evaluation")
            losses.append(forward(engine, collate(rows, indices, counts), num_targets=num_targets, device=device))
    engine.train()
    return float(exchange(losses, Signals())[0])


def write_output(engine: Engine, task: TrainingTask) -> None:
    """The tuned adapter or model, put in place by a rename; all ranks call it and all learn of a failure."""
    import torch.distributed as dist

    probe = take_probe(engine, task) if task.strategy.is_adapter else None
    weights = engine.trainable_weights()
    target = task.output_path
    partial = target.with_name(f".{target.name}.partial")
    failures: list[str] = []
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
        if task.strategy.is_adapter:
            if not any(bool(value.any()) for name, value in weights.items() if "lora_B" in name):
                failures.append("the adapter has not trained: all its lora_B weights are zero")
            attempt(failures, write_adapter, engine.module, weights, partial, task.about_base, probe)
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


def _preempted() -> bool:
    """Whether Ray has told this worker that a machine of the run goes.

    `ray.train.get_preemption_info` makes all ranks meet to agree, at every call; here they agree with the loss.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    context = getattr(get_train_context(), "preemption_context", None)
    return context is not None and context.preemption_info is not None


@contextmanager
def _watched(task: TrainingTask) -> Iterator[Watchdog]:
    """A watchdog that ends this process when it hangs; it starts to count with the first step."""
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import _get_default_store

    with Watchdog(
        _get_default_store(),
        rank=dist.get_rank(),
        world_size=dist.get_world_size(),
        timeout_s=task.train.hang_timeout_s,
        give_up=end_this_worker(task.run_path),
    ) as watchdog:
        yield watchdog


@contextmanager
def _explained(task: TrainingTask, watchdog: Watchdog, device: Any) -> Iterator[None]:
    """A GPU that is too small gives one line, and no more tries: they would end the same way."""
    import torch
    import torch.distributed as dist

    if (line := from_rank_0(lambda: read_note(task.run_path, FATAL))) is not None:
        raise DoesNotFitError(line)
    try:
        yield
    except torch.OutOfMemoryError as error:
        line = out_of_memory(task, place=watchdog.where, rank=dist.get_rank(), device=device)
        if dist.get_world_size() == 1:
            raise DoesNotFitError(line) from error
        # The other ranks wait for this one, so the workers have to be started anew to hear of it.
        leave_note(task.run_path, FATAL, line)
        raise


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
    with ExitStack() as held:
        if enabled:
            attempt(failures, _wait_for_lock, held, Path(run_path), failures)
        agree(failures)
        yield


def _wait_for_lock(held: ExitStack, run_path: Path, failures: list[str]) -> None:
    folder, deadline = run_path / FOLDER, time.monotonic() + LOCK_SECONDS
    folder.mkdir(parents=True, exist_ok=True)
    file = held.enter_context((folder / ".lock").open("a"))
    while not take_lock(file):
        if time.monotonic() > deadline:
            failures.append(f"another process is training in {run_path}; stop it first")
            return
        time.sleep(0.5)


def _last_metrics(task: TrainingTask) -> dict[str, float]:
    """Metrics of the last checkpoint, for a run that was stopped between it and the writing of the tuned weights."""
    checkpoint = latest_checkpoint(task.run_path)
    return {} if checkpoint is None else dict(checkpoint.record["metrics"])
