"""Writes down the batches whose updates were left out, and ends the run where the rule says so."""

import json
import math
from pathlib import Path
from typing import Any

from ray_ft.errors import TrainingError
from ray_ft.training.batches import PackedRows, micro_batches
from ray_ft.training.task import TrainingTask

BAD_BATCHES_FILE = "bad_batches.jsonl"
EXCUSED = 30  # updates in a row that fp16's loss scale may cost; 2^30 below its start nothing is left of it


class BadBatches:
    """The rule of `train.on_non_finite`; all ranks call every method."""

    def __init__(self, task: TrainingTask, rows: PackedRows) -> None:
        self._task, self._rows = task, rows
        self._in_a_row = self._excused = 0
        self._warnings: list[str] = []

    def add(
        self, step: int, batch: list[int], *, own_losses: list[Any], loss: float, grad_norm: float, excused: bool
    ) -> None:
        """An update was left out. Raises TrainingError, on all ranks, where the run ends with it.

        `own_losses` are this rank's, one for each micro-batch, on the device; `loss` is the global batch's.
        """
        if excused and self._excused < EXCUSED:
            self._excused += 1
            return
        self._in_a_row += 1
        train = self._task.train
        bad = self._bad_rows(batch, own_losses)
        reason = _reason(loss, grad_norm, ratio=train.max_grad_norm_ratio)
        chunks = [chunk for i in bad for chunk in self._rows.chunk_ids(i)]
        self._write({"step": step, "reason": reason, "rows": bad, "chunks": chunks})
        line = (
            f"{reason} on row{'s' if len(bad) > 1 else ''} {', '.join(map(str, bad[:8]))} "
            f"(chunks {', '.join(chunks[:4])}{', ...' if len(chunks) > 4 else ''})"
        )
        if train.on_non_finite == "stop" or self._in_a_row >= train.max_skipped_steps:
            times = f", and so {self._in_a_row} times in a row" if self._in_a_row > 1 else ""
            raise TrainingError(
                f"step {step}: {line}{times}. Lower train.learning_rate or train.max_grad_norm, or look at "
                f"those chunks; all of them are in {BAD_BATCHES_FILE}."
            )
        self._warnings.append(f"update left out: {line}")

    def end_row(self) -> None:
        """An update was made."""
        self._in_a_row = self._excused = 0

    def take_warnings(self) -> list[str]:
        """Lines about updates left out since the last call."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def _bad_rows(self, batch: list[int], own_losses: list[Any]) -> list[int]:
        """Rows whose own loss is not finite, from all ranks; the whole batch where every loss is."""
        import torch
        import torch.distributed as dist

        rank, world_size = dist.get_rank(), dist.get_world_size()
        mine = micro_batches(len(batch), micro_batch_size=self._task.micro_batch_size, rank=rank, world_size=world_size)
        bad = [
            batch[i]
            for loss, (places, counts) in zip(own_losses, mine, strict=True)
            if not torch.isfinite(loss)
            for i, there in zip(places, counts, strict=True)
            if there
        ]
        everyone: list[list[int]] = [[] for _ in range(world_size)]
        dist.all_gather_object(everyone, bad)
        return [i for of_rank in everyone for i in of_rank] or batch

    def _write(self, about: dict[str, object]) -> None:
        """A disk that is full will be noticed by the next checkpoint."""
        import torch.distributed as dist

        if dist.get_rank() == 0:
            try:
                with (Path(self._task.run_path) / BAD_BATCHES_FILE).open("a") as file:
                    file.write(json.dumps(about) + "\n")
            except OSError:
                pass


def _reason(loss: float, grad_norm: float, *, ratio: float | None) -> str:
    if not math.isfinite(loss):
        return "the loss is not finite"
    if not math.isfinite(grad_norm):
        return "the gradient is not finite"
    return f"the gradient's norm {grad_norm:.3g} is over {ratio:g} times its running median"
