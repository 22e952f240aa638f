"""metrics.jsonl and the trackers from the worker's side, and the terminal's progress lines from the driver's.

The file is the one account of a run: the driver follows it, not the workers' output, in which DeepSpeed and Ray talk.
"""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray_ft.trackers import TrackedRun
from ray_ft.training.checkpoints.record import git_revision, versions
from ray_ft.training.reporting.tracking import Tracking
from ray_ft.training.task import TrainingTask

log = logging.getLogger("ray_ft")

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


class ProgressLines:
    """While the context lasts, a thread turns new lines of metrics.jsonl into lines for people."""

    def __init__(self, run_path: str | Path, *, num_steps: int, show: Callable[[str], None] = log.info) -> None:
        self.path, self.num_steps, self.show = Path(run_path) / METRICS_FILE, num_steps, show
        self._shown = {_key(values) for values in read_metrics(self.path)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> "ProgressLines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(0.5):
            self._show_new()
        self._show_new()

    def _show_new(self) -> None:
        # Read anew each time, because a resumed worker group rewrites the file; steps shown before are not shown again.
        for values in read_metrics(self.path):
            if _key(values) not in self._shown:
                self._shown.add(_key(values))
                self.show(progress_line(values, num_steps=self.num_steps))


def progress_line(values: dict[str, Any], *, num_steps: int) -> str:
    """`step 12/300  loss 2.3104  812 tokens/s  3 min 10 s left`, or the validation loss of a step."""
    step = values["step"]
    head = f"step {step}/{num_steps}"
    if "warning" in values:
        return f"{head}  {values['warning']}"
    if "validation_loss" in values:
        return f"{head}  validation loss {values['validation_loss']:.4f}"
    left = duration(values["seconds_per_step"] * (num_steps - step))
    return f"{head}  loss {values['loss']:.4f}  {values['tokens_per_second']:,.0f} tokens/s  {left} left"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 10 s` or `5 h 12 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _key(values: dict[str, Any]) -> tuple[int, bool, str]:
    return values["step"], "validation_loss" in values, values.get("warning", "")
