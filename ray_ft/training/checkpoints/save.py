"""Saves checkpoints while training goes on: state is copied to host memory at its step, and a thread writes it.

At most one checkpoint is on its way. Each rank writes its own files and says so in its signals; once all have, rank 0
lists the files and renames the folder, so that what can be seen is whole. A failure on any rank reaches all of them the
same way and ends the run with the same error, the checkpoints before it untouched.
"""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.errors import TrainingError
from ray_ft.training.backends.base import Engine
from ray_ft.training.checkpoints.record import (
    FOLDER,
    STATE,
    Checkpoint,
    best_checkpoint,
    check_same_run,
    complete_checkpoints,
    latest_checkpoint,
    remove_leftovers,
    write_record,
    write_tensors,
)
from ray_ft.training.checkpoints.remote import Uploader, fetch_newest, open_store
from ray_ft.training.ranks.agreement import agree, attempt, from_rank_0
from ray_ft.training.ranks.signals import Heard
from ray_ft.training.task import TrainingTask
from ray_ft.training.tuned_weights import write_adapter
from ray_ft.training.versions import git_revision, versions

log = logging.getLogger("ray_ft")

Report = Callable[[dict[str, Any], Path], None]
"""Tells whoever started the workers about a finished checkpoint; every rank calls it equally often."""


@dataclass
class _OnItsWay:
    """A checkpoint that is being written."""

    step: int
    partial: Path
    record: dict[str, Any]
    thread: threading.Thread


class Checkpointer:
    """All ranks call every method, in the same order; rank 0 alone touches what they share."""

    def __init__(self, task: TrainingTask, *, report: Report) -> None:
        import torch.distributed as dist

        self.failures: list[str] = []
        self.best_loss = float("inf")
        self.validation_losses: list[float] = []  # of all evaluations so far, a resumed run's earlier ones included
        self._task, self._report = task, report
        self._folder = Path(task.run_path) / FOLDER
        self._first = dist.get_rank() == 0
        self._on_its_way: _OnItsWay | None = None
        store = open_store(task.train.checkpoint_uri, task.run_path) if self._first else None
        self._store = store
        self._uploader = None if store is None else Uploader(store, keep=task.train.num_checkpoints_to_keep)

    @property
    def written(self) -> int:
        """The step whose files this rank has written, until all have; 0 when there is none."""
        on_its_way = self._on_its_way
        return on_its_way.step if on_its_way is not None and not on_its_way.thread.is_alive() else 0

    def restore(self, engine: Engine) -> int:
        """Go on from the newest complete checkpoint, the same on all ranks; returns the step to go on with."""
        checkpoint, self.best_loss = from_rank_0(self._find)
        if checkpoint is None:
            return 0
        check_same_run(checkpoint, self._task.identity)
        engine.load_state(checkpoint.path / STATE)
        self.validation_losses = list(checkpoint.record.get("validation_losses", []))
        return int(checkpoint.step)

    def restore_best(self, engine: Engine) -> int | None:
        """Put the weights with the lowest validation loss back; returns their step, None where none was kept."""
        self.finish()
        best = from_rank_0(lambda: best_checkpoint(self._task.run_path))
        if best is None:
            return None
        engine.load_state(best.path / STATE)
        return int(best.step)

    def save(self, engine: Engine, *, step: int, metrics: dict[str, float], validation_loss: float | None) -> None:
        """Start the checkpoint of `step`, after the one before it. `validation_loss` is that of this very step."""
        self.finish()
        partial = self._folder / f".partial-step-{step:06d}"
        if self._first:
            attempt(self.failures, _make_empty, partial)
        agree(self.failures, step=step, partial=partial)
        files = {partial / STATE / name: state for name, state in engine.host_state().items()}
        adapter = engine.trainable_weights() if hasattr(engine.module, "peft_config") else {}
        thread = threading.Thread(
            target=self._write, args=(files, engine.module, adapter, partial), name=f"checkpoint-{step}", daemon=True
        )
        self._on_its_way = _OnItsWay(step, partial, self._record(step, metrics, validation_loss), thread)
        if validation_loss is not None:
            self.best_loss = min(self.best_loss, validation_loss)
        thread.start()

    def hear(self, heard: Heard, *, problem: str | None) -> None:
        """Act on what the ranks have said: raise together where one has failed, conclude what all have written.

        `problem` is what this rank could not write elsewhere, such as the metrics.
        """
        import torch.distributed as dist

        on_its_way = self._on_its_way
        if heard.failed:
            self.failures += [] if problem is None else [problem]
            self._agree()
        if on_its_way is not None and heard.written == dist.get_world_size() * on_its_way.step:
            self._conclude()

    def finish(self) -> None:
        """Wait until the checkpoint that is on its way is in place, or raise what kept it from getting there."""
        if self._on_its_way is None:
            return
        self._on_its_way.thread.join()
        self._agree()
        self._conclude()
        self._agree()

    @contextmanager
    def saved_first(self) -> Iterator[None]:
        """An error that all ranks raise together waits until the checkpoint that is on its way is in its place."""
        try:
            yield
        except TrainingError:
            self.finish()
            raise

    def close(self) -> None:
        """The run is over: wait for what is still being written or sent."""
        self.finish()
        if self._uploader is not None:
            self._uploader.close()

    def take_warnings(self) -> list[str]:
        """Lines about storage that cannot be reached, since the last call; on rank 0."""
        return [] if self._uploader is None else self._uploader.take_warnings()

    def _agree(self) -> None:
        on_its_way = self._on_its_way
        try:
            if on_its_way is None:
                agree(self.failures)
            else:
                agree(self.failures, step=on_its_way.step, partial=on_its_way.partial)
        except TrainingError:
            self._on_its_way = None
            raise

    def _find(self) -> tuple[Checkpoint | None, float]:
        remove_leftovers(self._task.run_path)
        newest = latest_checkpoint(self._task.run_path)
        if newest is None and self._store is not None:
            newest = fetch_newest(self._store, self._task.run_path)
        best = best_checkpoint(self._task.run_path)
        return newest, float("inf") if best is None else float(best.record["validation_loss"])

    def _record(self, step: int, metrics: dict[str, float], validation_loss: float | None) -> dict[str, Any]:
        return {
            "step": step,
            "validation_loss": validation_loss,
            "validation_losses": list(self.validation_losses),
            "metrics": dict(metrics),
            "run": self._task.identity,
            "config": self._task.config,
            "plan": self._task.plan,
            "versions": versions(),
            "git_revision": git_revision(),
        }

    def _write(self, files: dict[Path, Any], model: Any, adapter: dict[str, Any], partial: Path) -> None:
        """On a thread: this rank's files, and rank 0's adapter for those who want to look at it."""
        for path, state in files.items():
            attempt(self.failures, _write_file, state, path)
        if adapter:
            attempt(self.failures, write_adapter, model, adapter, partial / "adapter", {})

    def _conclude(self) -> None:
        """All files are there: list them, put the folder in its place, and drop what is no longer kept."""
        on_its_way, self._on_its_way = self._on_its_way, None
        assert on_its_way is not None
        target = self._folder / f"step-{on_its_way.step:06d}"
        if self._first:
            attempt(self.failures, self._put_in_place, on_its_way, target)
        self._report({"step": on_its_way.step, **on_its_way.record["metrics"]}, target)

    def _put_in_place(self, on_its_way: _OnItsWay, target: Path) -> None:
        write_record(on_its_way.partial, on_its_way.record)
        shutil.rmtree(target, ignore_errors=True)  # of a run that died between the rename and its next step
        on_its_way.partial.rename(target)
        best = best_checkpoint(self._task.run_path)
        if best is not None and best.path == target:
            about = {"step": best.step, "validation_loss": best.record["validation_loss"]}
            (self._folder / "best.json").write_text(json.dumps(about) + "\n")
        if self._uploader is not None:
            self._uploader.send(target, best=None if best is None else best.path.name)
        keep = complete_checkpoints(self._task.run_path)[-self._task.train.num_checkpoints_to_keep :]
        kept = {checkpoint.path for checkpoint in keep} | ({best.path} if best is not None else set())
        if self._uploader is not None and (sending := self._uploader.sending) is not None:
            kept.add(sending)
        for old in complete_checkpoints(self._task.run_path):
            if old.path not in kept:
                shutil.rmtree(old.path, ignore_errors=True)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / STATE).mkdir(parents=True)


def _write_file(state: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(state, path)
