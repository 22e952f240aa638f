"""Saves checkpoints while training goes on: state is copied to host memory at its step, and a thread writes it.

At most one checkpoint is on its way. Each rank writes its own files and says so in its signals; once all have, they
tell rank 0 names, sizes and digests, which it lists before it renames the folder, so that what can be seen is whole. A
failure on any rank, or a writer that ends without such a message, reaches all of them the same way and ends the run
with the same error, the checkpoints before it untouched. restore.py reads them.
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

from ray_ft.engines.probe import Probe
from ray_ft.errors import TrainingError, first_line
from ray_ft.training.backends.base import Engine
from ray_ft.training.checkpoints.files import Written, settle, sync, write_tensors
from ray_ft.training.checkpoints.probe import take_probe
from ray_ft.training.checkpoints.record import (
    FOLDER,
    LEFTOVER,
    STATE,
    complete_checkpoints,
    folder_name,
    remove,
    write_record,
)
from ray_ft.training.checkpoints.remote import Uploader, open_store
from ray_ft.training.checkpoints.restore import Restorer
from ray_ft.training.ranks.agreement import agree, attempt, from_every_rank
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
    files: dict[str, Written] | None = None  # of this rank, once all of them are on the disk
    thread: threading.Thread | None = None


class Checkpointer:
    """All ranks call every method, in the same order; rank 0 alone touches what they share."""

    def __init__(self, task: TrainingTask, *, report: Report) -> None:
        import torch.distributed as dist

        self.failures: list[str] = []
        self.best_loss, self.best_step = float("inf"), 0  # of the checkpoints that were validated
        self.validation_losses: list[float] = []  # of all evaluations so far, a resumed run's earlier ones included
        self._task, self._report = task, report
        self._folder = Path(task.run_path) / FOLDER
        self._first = dist.get_rank() == 0
        self._on_its_way: _OnItsWay | None = None
        store = open_store(task.train.checkpoint_uri, task.run_path) if self._first else None
        self._restorer = Restorer(task, store)
        self._uploader = None if store is None else Uploader(store, keep=task.train.num_checkpoints_to_keep)

    @property
    def written(self) -> int:
        """The step whose files this rank has written, until all have; 0 when there is none."""
        on_its_way = self._on_its_way
        return on_its_way.step if on_its_way is not None and on_its_way.files is not None else 0

    def restore(self, engine: Engine) -> int:
        """Go on from the newest sound checkpoint, the same on all ranks; returns the step to go on with."""
        checkpoint = self._restorer.newest()
        if checkpoint is None:
            return 0
        engine.load_state(checkpoint.path / STATE)
        self.validation_losses = list(checkpoint.record.get("validation_losses", []))
        self.best_step, self.best_loss = self._restorer.best_until(checkpoint)
        return int(checkpoint.step)

    def restore_best(self, engine: Engine) -> int | None:
        """Put the weights with the lowest validation loss back; returns their step, None where none was kept."""
        self.finish()
        if not self.best_step:
            return None
        engine.load_state(self._restorer.sound(self.best_step).path / STATE)
        return self.best_step

    def save(self, engine: Engine, *, step: int, metrics: dict[str, float], validation_loss: float | None) -> None:
        """Start the checkpoint of `step`, after the one before it. `validation_loss` is that of this very step."""
        self.finish()
        name = folder_name(step)
        partial = self._folder / f"{LEFTOVER}{name}"
        if self._first:
            attempt(self.failures, _make_empty, partial)
        agree(self.failures, step=step, partial=partial)
        files = {partial / STATE / name: state for name, state in engine.host_state().items()}
        is_adapter = hasattr(engine.module, "peft_config")
        probe = take_probe(engine, self._task) if is_adapter else None
        adapter = engine.trainable_weights() if is_adapter else {}
        if validation_loss is not None and validation_loss < self.best_loss:
            self.best_loss, self.best_step = validation_loss, step
        self._on_its_way = on_its_way = _OnItsWay(step, partial, self._record(step, metrics, validation_loss))
        on_its_way.thread = threading.Thread(
            target=self._write,
            args=(on_its_way, files, engine.module, adapter, probe),
            name=f"checkpoint-{step}",
            daemon=True,
        )
        on_its_way.thread.start()

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
        if (on_its_way := self._on_its_way) is None:
            return
        assert on_its_way.thread is not None
        on_its_way.thread.join()
        if on_its_way.files is None and not self.failures:
            self.failures.append("the thread that writes the checkpoint ended without a word")
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
        """Lines about checkpoints that cannot be used or sent, since the last call; on rank 0."""
        sending = [] if self._uploader is None else self._uploader.take_warnings()
        return [*self._restorer.take_warnings(), *sending]

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

    def _record(self, step: int, metrics: dict[str, float], validation_loss: float | None) -> dict[str, Any]:
        return {
            "step": step,
            "validation_loss": validation_loss,
            "validation_losses": list(self.validation_losses),
            "best_step": self.best_step,
            "metrics": dict(metrics),
            "run": self._task.identity,
            "config": self._task.config,
            "plan": self._task.plan,
            "versions": versions(),
            "git_revision": git_revision(),
        }

    def _write(
        self, on_its_way: _OnItsWay, files: dict[Path, Any], model: Any, adapter: dict[str, Any], probe: Probe | None
    ) -> None:
        """On a thread: this rank's files, and rank 0's adapter for those who want to look at it."""
        try:
            attempt(self.failures, self._write_files, on_its_way, files, model, adapter, probe)
        except BaseException as error:  # else nobody would hear of it
            self.failures.append(f"cannot write the checkpoint: {type(error).__name__}: {first_line(error)}")

    def _write_files(
        self, on_its_way: _OnItsWay, files: dict[Path, Any], model: Any, adapter: dict[str, Any], probe: Probe | None
    ) -> None:
        partial, written = on_its_way.partial, {}
        for path, state in files.items():
            written[path] = write_tensors(state, path)
        if adapter:
            write_adapter(model, adapter, partial / "adapter", self._task.about_base, probe)
            written |= {path: settle(path) for path in (partial / "adapter").rglob("*") if path.is_file()}
        for folder in {path.parent for path in written}:
            sync(folder)
        on_its_way.files = {path.relative_to(partial).as_posix(): about for path, about in written.items()}

    def _conclude(self) -> None:
        """All files are there: list them, put the folder in its place, and drop what is no longer kept."""
        on_its_way, self._on_its_way = self._on_its_way, None
        assert on_its_way is not None
        target = self._folder / folder_name(on_its_way.step)
        of_ranks: list[dict[str, Written]] = from_every_rank(on_its_way.files)
        if self._first:
            files = {name: written for of_rank in of_ranks for name, written in of_rank.items()}
            attempt(self.failures, self._put_in_place, on_its_way, files, target)
        self._report({"step": on_its_way.step, **on_its_way.record["metrics"]}, target)

    def _put_in_place(self, on_its_way: _OnItsWay, files: dict[str, Written], target: Path) -> None:
        write_record(on_its_way.partial, on_its_way.record, files)
        remove(target)  # a spoilt one, before which the run went on
        on_its_way.partial.rename(target)
        sync(self._folder)
        there = {checkpoint.path: checkpoint for checkpoint in complete_checkpoints(self._task.run_path)}
        if target not in there:
            raise OSError(None, f"{target.name} cannot be read back")
        best = self._folder / folder_name(self.best_step)
        if best == target:
            about = {"step": on_its_way.step, "validation_loss": self.best_loss}
            (self._folder / "best.json").write_text(json.dumps(about) + "\n")
        if self._uploader is not None:
            self._uploader.send(target, best=best.name if best in there else None)
        kept = {best, *list(there)[-self._task.train.num_checkpoints_to_keep :]}
        if self._uploader is not None:
            kept |= self._uploader.sending
        for old in there:
            if old not in kept:
                remove(old)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / STATE).mkdir(parents=True)
