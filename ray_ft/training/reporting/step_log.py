"""Reads what each step came to, one step late, so that a GPU never waits for the host; and writes the log lines.

The host launches step n + 1 before it looks at step n, whose numbers have been copied to it in the meantime. Whatever
must not happen after a bad step, a checkpoint above all, first calls `catch_up`.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray_ft.training.backends.base import Update
from ray_ft.training.batches import RowOrder
from ray_ft.training.health.bad_batches import BadBatches
from ray_ft.training.health.device_memory import peak_memory
from ray_ft.training.health.slow_ranks import PassTimer, SlowRanks
from ray_ft.training.ranks.signals import Heard, heard
from ray_ft.training.reporting.metrics import MetricsLog
from ray_ft.training.task import TrainingTask


@dataclass(frozen=True)
class Launched:
    """A step whose numbers are still on the device."""

    step: int  # counted from 1: steps that are done once this one is
    batch: list[int]  # rows of the global batch
    num_targets: int  # of the global batch
    learning_rate: float
    losses: list[Any]  # this rank's, one for each micro-batch, on the device
    totals: Any  # what signals.exchange made: the global batch's mean loss, and what the ranks have to say
    update: Update
    timer: PassTimer


class StepLog:
    """The numbers of a run as the host learns them; the same on all ranks, written by the one that has `lines`."""

    def __init__(
        self,
        task: TrainingTask,
        order: RowOrder,
        *,
        tokens_per_step: float,
        bad_batches: BadBatches,
        lines: MetricsLog | None,
    ) -> None:
        self.metrics: dict[str, float] = {}
        self.heard = Heard()
        self.own_seconds = 0.0  # that this rank's passes took in the last step that was read
        self._task, self._order, self._lines = task, order, lines
        self._tokens_per_step = tokens_per_step
        self._bad_batches, self._slow_ranks = bad_batches, SlowRanks()
        self._pending: tuple[Launched, _OnItsWay] | None = None
        self._started = self._since = time.perf_counter()
        self._loss_sum, self._num_targets, self._num_steps, self._num_skipped = 0.0, 0, 0, 0

    def launched(self, launched: Launched) -> None:
        """Take note of a step that the device is at work on, and read the one before it."""
        on_its_way = _OnItsWay(launched)
        self.catch_up()
        self._pending = launched, on_its_way

    def catch_up(self) -> None:
        """Wait for all steps so far. Raises TrainingError, on all ranks, where one must not be gone on from."""
        if self._pending is None:
            return
        (launched, on_its_way), self._pending = self._pending, None
        grad_norm, skipped, excused, *totals = on_its_way.read()
        self.heard = heard(totals)
        self.own_seconds = launched.timer.seconds()
        self._num_steps += 1
        if skipped:
            self._num_skipped += 1
            self._bad_batches.add(
                launched.step,
                launched.batch,
                own_losses=launched.losses,
                loss=self.heard.loss,
                grad_norm=grad_norm,
                excused=bool(excused),
            )
        else:
            self._bad_batches.end_row()
            self._loss_sum += self.heard.loss * launched.num_targets
            self._num_targets += launched.num_targets
        self._slow_ranks.add(self.heard.seconds)
        if launched.step % self._task.train.log_every == 0 or launched.step == self._task.num_steps:
            self._write_line(launched, grad_norm, now=on_its_way.arrived)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Catch up, and leave the time that the context lasts out of the time of the steps."""
        self.catch_up()
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began

    def validated(self, step: int, loss: float) -> None:
        """The validation loss after a step."""
        self.metrics |= validation_metrics(loss)
        if self._lines is not None:
            self._lines.write({"step": step, **validation_metrics(loss)})

    def warn(self, step: int, warnings: list[str]) -> None:
        """Lines for people, about a step."""
        for warning in warnings:
            if self._lines is not None:
                self._lines.write({"step": step, "warning": warning})

    def _write_line(self, launched: Launched, grad_norm: float, *, now: float) -> None:
        import torch.distributed as dist

        seconds = (now - self._since) / self._num_steps
        about = {
            "learning_rate": launched.learning_rate,
            "grad_norm": grad_norm,
            **speed(self._tokens_per_step / seconds, self._task, num_workers=dist.get_world_size()),
            **peak_memory(self._task, device=launched.totals.device),
        }
        if self._num_targets:  # else all of them were left out
            about = {"loss": self._loss_sum / self._num_targets, **about}
        self.metrics |= about
        if self._lines is not None and "loss" in about:
            self._lines.write(
                {
                    "step": launched.step,
                    "epoch": self._order.epoch(launched.step),
                    **about,
                    "num_target_tokens": self._num_targets,
                    **({"skipped_steps": self._num_skipped} if self._num_skipped else {}),
                    "seconds_per_step": seconds,
                    "seconds": now - self._started,
                }
            )
        self.warn(launched.step, [*self._slow_ranks.take_warnings(), *self._bad_batches.take_warnings()])
        self._since = now
        self._loss_sum, self._num_targets, self._num_steps, self._num_skipped = 0.0, 0, 0, 0


def validation_metrics(loss: float) -> dict[str, float]:
    """A validation loss and its perplexity: among how many tokens the model wavers."""
    return {"validation_loss": loss, "validation_perplexity": math.exp(min(loss, 700.0))}  # a float ends behind e^709


def speed(tokens_per_second: float, task: TrainingTask, *, num_workers: int) -> dict[str, float]:
    """Tokens per second of all workers and of one, padding excluded; on a known GPU the share of its FLOPs.

    The share counts what the method needs and nothing that is computed twice (model FLOPs utilisation, arXiv
    2204.02311), against the dense 16-bit rate of the data sheet.
    """
    found = {"tokens_per_second": tokens_per_second}
    if task.use_gpu:
        found["tokens_per_second_per_gpu"] = tokens_per_second / num_workers
        needed, peak = task.plan.get("flops_per_token", 0.0), task.plan.get("peak_flops", 0.0)
        if needed and peak:
            found["mfu"] = tokens_per_second * needed / (num_workers * peak)
    return found


class _OnItsWay:
    """The numbers of a step, which the device copies into the host's memory while both go on."""

    def __init__(self, launched: Launched) -> None:
        import torch

        update, totals = launched.update, launched.totals
        scalars = [update.grad_norm, update.skipped, update.excused]
        values = torch.cat([torch.stack([s.detach().to(totals.device, totals.dtype) for s in scalars]), totals])
        self._there: Any = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()
        else:
            self._values = values
        self.arrived = time.perf_counter()  # on a CPU, where launching a step is doing it

    def read(self) -> list[float]:
        if self._there is not None:
            self._there.synchronize()
            self.arrived = time.perf_counter()
        return [float(value) for value in self._values]
