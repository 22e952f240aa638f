"""metrics.jsonl, the one account of a run, and the trackers, which get the same numbers; written by rank 0.

The driver follows the file (progress.py), not the workers' output, in which DeepSpeed and Ray talk.
"""

import json
from pathlib import Path
from typing import Any

from ray_ft.trackers import TrackedRun
from ray_ft.training.reporting.tracking import Tracking
from ray_ft.training.task import TrainingTask
from ray_ft.training.versions import git_revision, versions

METRICS_FILE = "metrics.jsonl"


class MetricsLog:
    """Appends one JSON line per logged step to metrics.jsonl, and hands the numbers to the trackers. For one rank only.

    A disk that fills up must not leave the other ranks waiting, so a failed write is kept in `failure` until all ranks
    compare notes. As a context manager it tells the trackers at its end whether the run finished.
    """

    def __init__(self, run_path: str | Path, *, after_step: int, tracking: Tracking | None = None) -> None:
        self.path = Path(run_path) / METRICS_FILE
        self.failure: str | None = None
        self._tracking = Tracking((), None) if tracking is None else tracking
        keep_until(self.path, after_step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._tracking.close(finished=kind is None)

    def write(self, values: dict[str, Any]) -> None:
        """One line; `values` has at least "step"."""
        step = values["step"]
        numbers = {k: float(v) for k, v in values.items() if k != "step" and isinstance(v, (int, float))}
        if numbers:
            self._tracking.log(step, numbers)
        self._append(values, *({"step": step, "warning": warning} for warning in self._tracking.take_warnings()))

    def flush(self) -> None:
        """Before a checkpoint: let the trackers catch up."""
        self._tracking.flush()

    def _append(self, *lines: dict[str, Any]) -> None:
        try:
            with self.path.open("a") as file:
                file.writelines(json.dumps(values) + "\n" for values in lines)
        except OSError as error:
            self.failure = self.failure or f"cannot write {self.path}: {error.strerror}"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a metrics file; none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def keep_until(path: Path, step: int) -> None:
    """Drop the lines after `step`, which a resumed run is about to write again."""
    kept = [values for values in read_metrics(path) if values["step"] <= step]
    if path.is_file():
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(values) + "\n" for values in kept))
        partial.replace(path)


def metrics_log(task: TrainingTask, *, step: int) -> MetricsLog:
    """The log of a run that goes on after `step`, and its trackers, which are told what the run is."""
    params = {
        "config": task.identity["inputs"],
        "train": task.config,
        "plan": task.plan,
        "base": task.about_base,
        "data_digest": task.identity["data_digest"],
        "num_steps": task.num_steps,
        "learning_rate": task.learning_rate,
        "seed": task.seed,
        "git_revision": git_revision(),
        "versions": versions(),
    }
    run_path = Path(task.run_path)
    run = TrackedRun(name=run_path.name, run_path=run_path, step=step, params=params)
    return MetricsLog(run_path, after_step=step, tracking=Tracking(task.train.trackers, run))
