"""Weights & Biases."""

import uuid
from dataclasses import dataclass
from typing import Any, Literal

from ray_ft.errors import MissingDependencyError
from ray_ft.trackers.base import TRACKERS, TrackedRun, Tracker, TrackerSession, remember_id, remembered_id


@TRACKERS.register("wandb")
@dataclass(frozen=True)
class WeightsAndBiases(Tracker):
    """Weights & Biases, its servers or your own; needs WANDB_API_KEY on the workers unless offline."""

    name: str = "wandb"
    project: str = "ray_ft"
    """Project that the run belongs to."""
    entity: str | None = None
    """User or team; null takes the key's own."""
    mode: Literal["online", "offline"] = "online"
    """offline writes below the run folder, for `wandb sync`."""

    def check(self) -> None:
        _library()

    def start(self, run: TrackedRun) -> TrackerSession:
        wandb = _library()
        run_id = remembered_id(run, self.name) or uuid.uuid4().hex[:12]
        opened = wandb.init(
            project=self.project,
            entity=self.entity,
            name=run.name,
            id=run_id,
            resume="allow",
            dir=str(run.run_path),
            mode=self.mode,
            config=run.params,
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )
        remember_id(run, self.name, run_id)
        return _Run(opened)


class _Run:
    def __init__(self, run: Any) -> None:
        self.run = run

    def log(self, step: int, values: dict[str, float]) -> None:
        # A resumed run logs the steps after its checkpoint again, with equal values; wandb keeps the first of each.
        self.run.log(dict(values), step=step)

    def flush(self) -> None:
        pass

    def close(self, *, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


def _library() -> Any:
    try:
        import wandb
    except ImportError:
        raise MissingDependencyError("train.trackers: wandb is not installed; pip install 'ray_ft[wandb]'") from None
    return wandb
