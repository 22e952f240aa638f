"""Which checkpoint a run goes on from: the newest that is sound, here or in the storage that they are sent to."""

import shutil
from functools import partial
from pathlib import Path

from ray_ft.errors import RayFTError, TrainingError, first_line
from ray_ft.training.checkpoints.files import damage
from ray_ft.training.checkpoints.record import (
    FOLDER,
    Checkpoint,
    best_checkpoint,
    broken_checkpoints,
    check_same_run,
    complete_checkpoints,
    folder_name,
    remove_leftovers,
)
from ray_ft.training.checkpoints.remote import CheckpointStore, fetch, fetch_newest
from ray_ft.training.ranks.agreement import from_every_rank, from_rank_0
from ray_ft.training.task import TrainingTask


class Restorer:
    """All ranks call every method, in the same order; rank 0 alone looks into `store` and moves folders."""

    def __init__(self, task: TrainingTask, store: CheckpointStore | None) -> None:
        self._task, self._store = task, store
        self._warnings: list[str] = []

    def take_warnings(self) -> list[str]:
        """What was found since the last call, on rank 0."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint whose files are what was written; None where there has never been one.

        Raises TrainingError where there are checkpoints and none is sound, ConfigError where another run wrote it.
        """
        complete, broken = from_rank_0(self._look)
        found = self._newest_of(complete)
        if found is None and (fetched := from_rank_0(self._fetch_newest)) is not None:
            found = self._newest_of([fetched])
        if found is not None:
            check_same_run(found, self._task.identity)
        elif complete or broken:
            why = broken or "their files are not what was written"
            where = Path(self._task.run_path) / FOLDER
            raise TrainingError(f"no checkpoint in {where} is sound ({why}); start over with `--force`")
        return found

    def best_until(self, newest: Checkpoint) -> tuple[int, float]:
        """Step and validation loss of the best checkpoint so far, (0, inf) where none was validated.

        Raises TrainingError where the run is to write those weights and they are gone.
        """
        found: tuple[int, float] = from_rank_0(lambda: self._best_until(newest))
        return found

    def sound(self, step: int) -> Checkpoint:
        """The checkpoint of a step, from the storage where it is spoilt here. Raises TrainingError where it is lost."""
        for _ in range(2):
            found, why = from_rank_0(lambda: self._of_step(step))
            if found is not None and (why := self._damage(found)) is None:
                return Checkpoint(found.path, found.step, found.record)
            if not from_rank_0(lambda: self._fetch(step)):
                break
        raise self._lost(step, str(why))

    def _newest_of(self, candidates: list[Checkpoint]) -> Checkpoint | None:
        """The newest sound one; those after it are set aside."""
        spoilt: dict[str, str] = {}
        for found in reversed(candidates):
            if (why := self._damage(found)) is not None:
                spoilt[found.path.name] = why
                continue
            from_rank_0(partial(self._set_aside, spoilt))
            if not found.has_digests:
                self._warn(f"{found.path.name} has no digests, being an earlier version's: its sizes were compared")
            return found
        return None

    def _set_aside(self, spoilt: dict[str, str]) -> None:
        """Out of the way of checkpoints, for someone to look at."""
        for name, why in spoilt.items():
            aside = Path(self._task.run_path) / FOLDER / f"spoilt-{name}"
            shutil.rmtree(aside, ignore_errors=True)
            aside.with_name(name).rename(aside)
            self._warn(f"{name} was passed over: {why}; it is kept as {aside.name}")

    def _damage(self, checkpoint: Checkpoint) -> str | None:
        """What is wrong with its files, each rank reading some of them."""
        import torch.distributed as dist

        mine = list(checkpoint.record["files"])[dist.get_rank() :: dist.get_world_size()]
        found = from_every_rank(damage(checkpoint.path, checkpoint.record, mine))
        return next((why for why in found if why is not None), None)

    def _look(self) -> tuple[list[Checkpoint], str]:
        remove_leftovers(self._task.run_path)
        complete, broken = complete_checkpoints(self._task.run_path), broken_checkpoints(self._task.run_path)
        for path, why in broken.items():
            self._warn(f"{path.name} was passed over: {why}")
        return complete, "; ".join(f"{path.name}: {why}" for path, why in broken.items())

    def _fetch_newest(self) -> Checkpoint | None:
        return None if self._store is None else fetch_newest(self._store, self._task.run_path)

    def _best_until(self, newest: Checkpoint) -> tuple[int, float]:
        step = newest.record.get("best_step", 0)
        if step and self._of_step(step)[0] is None and not self._fetch(step) and self._task.writes_best:
            raise self._lost(step, self._of_step(step)[1])
        best = best_checkpoint(self._task.run_path)
        return (0, float("inf")) if best is None else (best.step, float(best.record["validation_loss"]))

    def _of_step(self, step: int) -> tuple[Checkpoint | None, str]:
        """The complete checkpoint of a step, or why there is none."""
        path = Path(self._task.run_path) / FOLDER / folder_name(step)
        found = next((c for c in complete_checkpoints(self._task.run_path) if c.path == path), None)
        return found, broken_checkpoints(self._task.run_path).get(path, "it is gone")

    def _fetch(self, step: int) -> bool:
        """Whether the storage has it, and it is here now."""
        if self._store is None:
            return False
        try:
            return fetch(self._store, folder_name(step), self._task.run_path) is not None
        except Exception as error:  # whatever the storage's library raises
            self._warn(f"cannot read {folder_name(step)} from {self._store.uri}: {first_line(error)}")
            return False

    def _lost(self, step: int, why: str) -> RayFTError:
        return TrainingError(
            f"the best weights so far, of step {step}, are lost ({why}); train.load_best=false and no "
            "train.early_stopping_patience write the last ones instead"
        )

    def _warn(self, line: str) -> None:
        import torch.distributed as dist

        if dist.get_rank() == 0:
            self._warnings.append(line)
