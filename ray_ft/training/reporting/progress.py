"""The terminal's progress lines: the driver follows metrics.jsonl and says what is new there."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics

log = logging.getLogger("ray_ft")


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
