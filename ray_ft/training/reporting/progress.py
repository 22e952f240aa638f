"""Tells a run's task how far training is: the driver follows metrics.jsonl, which the first worker writes."""

import logging
import threading
from pathlib import Path
from typing import Any

from ray_ft.progress import Task
from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics

log = logging.getLogger("ray_ft")


class FollowedSteps:
    """While the context lasts, a thread turns new lines of metrics.jsonl into figures of the task, and warnings."""

    def __init__(self, run_path: str | Path, task: Task) -> None:
        self.path, self.task = Path(run_path) / METRICS_FILE, task
        self._shown = {_key(values) for values in read_metrics(self.path)}
        self._validation: tuple[str, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> "FollowedSteps":
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
                self._show(values)

    def _show(self, values: dict[str, Any]) -> None:
        step = values["step"]
        if "warning" in values:
            log.warning("step %d: %s", step, values["warning"])
        elif "validation_loss" in values:
            self._validation = (f"validation {values['validation_loss']:.4f}",)
            self.task.at(step, *self.task.figures[:2], *self._validation, seconds_left=self.task.seconds_left)
        else:
            self.task.at(
                step,
                f"loss {values['loss']:.4f}",
                f"{values['tokens_per_second']:,.0f} tokens/s",
                *self._validation,
                seconds_left=values["seconds_per_step"] * ((self.task.total or step) - step),
            )


def _key(values: dict[str, Any]) -> tuple[int, bool, str]:
    return values["step"], "validation_loss" in values, values.get("warning", "")
