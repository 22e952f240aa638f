"""TensorBoard event files in the run folder."""

import json
from dataclasses import dataclass
from typing import Any

from ray_ft.trackers.base import TRACKERS, TrackedRun, Tracker, TrackerSession

FOLDER = "tensorboard"


@TRACKERS.register("tensorboard")
@dataclass(frozen=True)
class TensorBoard(Tracker):
    """Event files in the run folder, for `tensorboard --logdir outputs`."""

    name: str = "tensorboard"

    def start(self, run: TrackedRun) -> TrackerSession:
        """Steps after the one that is gone on from are purged; they are about to be written again."""
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter(str(run.run_path / FOLDER), purge_step=run.step + 1)
        if run.step == 0:
            writer.add_text("run", "    " + json.dumps(run.params, indent=1).replace("\n", "\n    "))
        return _Events(writer)


class _Events:
    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self.writer.flush()

    def close(self, *, finished: bool) -> None:
        self.writer.close()
