"""Reads what each step came to, one step late, so that a GPU never waits for the host; and writes the log lines.

The host launches step n + 1 before it looks at step n, whose numbers have been copied to it in the meantime. Whatever
must not happen after a bad step, a checkpoint above all, first calls `catch_up`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray_ft.errors import TrainingError
from ray_ft.training.batches import PackedRows, RowOrder, micro_batches
from ray_ft.training.engine import Update
from ray_ft.training.progress import MetricsLog
from ray_ft.training.task import TrainingTask


@dataclass(frozen=True)
class Launched:
    """A step whose numbers are still on the device."""

    step: int  # counted from 1: steps that are done once this one is
    batch: list[int]  # rows of the global batch
    num_targets: int  # of the global batch
    learning_rate: float
    losses: list[Any]  # this rank's, one for each micro-batch, on the device
    loss: Any  # the global batch's mean, on the device
    update: Update


class StepLog:
    """The numbers of a run as the host learns them; the same on all ranks, written by the one that has `lines`."""

    def __init__(self, task: TrainingTask, rows: PackedRows, order: RowOrder, *, lines: MetricsLog | None) -> None:
        self.metrics: dict[str, float] = {}
        self._task, self._rows, self._order, self._lines = task, rows, order, lines
        self._tokens_per_step = task.train.global_batch_size * rows.num_tokens / len(rows)
        self._pending: tuple[Launched, _OnItsWay] | None = None
        self._started = self._since = time.perf_counter()
        self._loss_sum, self._num_targets, self._num_steps = 0.0, 0, 0

    def launched(self, launched: Launched) -> None:
        """Take note of a step that the device is at work on, and read the one before it."""
        update = launched.update
        on_its_way = _OnItsWay([launched.loss, update.grad_norm, update.skipped])
        self.catch_up()
        self._pending = launched, on_its_way

    def catch_up(self) -> None:
        """Wait for all steps so far. Raises TrainingError, on all ranks, where one was not finite."""
        if self._pending is None:
            return
        (launched, on_its_way), self._pending = self._pending, None
        loss, grad_norm, skipped = on_its_way.read()
        if skipped:
            raise _not_finite(launched, rows=self._rows, task=self._task)
        self._loss_sum += loss * launched.num_targets
        self._num_targets += launched.num_targets
        self._num_steps += 1
        if launched.step % self._task.train.log_every == 0 or launched.step == self._task.num_steps:
            self._write_line(launched, grad_norm)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Catch up, and leave the time that the context lasts out of the time of the steps."""
        self.catch_up()
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began

    def validated(self, step: int, loss: float) -> None:
        """The validation loss after a step."""
        self.metrics["validation_loss"] = loss
        if self._lines is not None:
            self._lines.write({"step": step, "validation_loss": loss})

    def _write_line(self, launched: Launched, grad_norm: float) -> None:
        now = time.perf_counter()
        seconds = (now - self._since) / self._num_steps
        about = {
            "loss": self._loss_sum / self._num_targets,
            "learning_rate": launched.learning_rate,
            "grad_norm": grad_norm,
            "tokens_per_second": self._tokens_per_step / seconds,
        }
        self.metrics |= about
        if self._lines is not None:
            self._lines.write(
                {
                    "step": launched.step,
                    "epoch": self._order.epoch(launched.step),
                    **about,
                    "num_target_tokens": self._num_targets,
                    "seconds_per_step": seconds,
                    "seconds": now - self._started,
                }
            )
        self._since = now
        self._loss_sum, self._num_targets, self._num_steps = 0.0, 0, 0


class _OnItsWay:
    """Scalars that the device copies into the host's memory while both go on."""

    def __init__(self, scalars: list[Any]) -> None:
        import torch

        device = scalars[0].device
        values = torch.stack([scalar.detach().to(device=device, dtype=torch.float64) for scalar in scalars])
        self._there: Any = None
        if device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()
        else:
            self._values = values

    def read(self) -> list[float]:
        if self._there is not None:
            self._there.synchronize()
        return [float(value) for value in self._values]


def _not_finite(launched: Launched, *, rows: PackedRows, task: TrainingTask) -> TrainingError:
    """Names the rows whose loss is not a number, and the chunks in them; the same on all ranks."""
    import torch
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    mine = micro_batches(launched.batch, micro_batch_size=task.micro_batch_size, rank=rank, world_size=world_size)
    losses = zip(launched.losses, mine, strict=True)
    bad = [i for loss, indices in losses if not torch.isfinite(loss) for i in indices]
    everyone: list[list[int]] = [[] for _ in range(world_size)]
    dist.all_gather_object(everyone, bad)
    indices = [i for of_rank in everyone for i in of_rank]
    what = "loss" if indices else "gradient"
    indices = indices or launched.batch
    chunks = [chunk for i in indices for chunk in rows.chunk_ids(i)]
    return TrainingError(
        f"step {launched.step}: the {what} is not finite on row{'s' if len(indices) > 1 else ''} "
        f"{', '.join(map(str, indices[:8]))} (chunks {', '.join(chunks[:4])}{', ...' if len(chunks) > 4 else ''}). "
        "Lower train.learning_rate or train.max_grad_norm, or look at those chunks."
    )
