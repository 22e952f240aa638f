"""metrics.jsonl and TensorBoard from the worker's side, and the terminal's progress lines from the driver's.

The file is the one account of a run: the driver follows it, not the workers' output, in which DeepSpeed and Ray talk.
"""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("ray_ft")

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class MetricsLog:
    """Appends one JSON line per logged step to metrics.jsonl, and the same numbers to TensorBoard. For one rank only.

    A disk that fills up must not leave the other ranks waiting, so a failed write is kept in `failure` until all ranks
    compare notes.
    """

    def __init__(self, run_path: str | Path, *, after_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = Path(run_path) / METRICS_FILE
        self.failure: str | None = None
        keep_until(self.path, after_step)
        self._tensorboard = SummaryWriter(str(Path(run_path) / TENSORBOARD_FOLDER), purge_step=after_step + 1)

    def write(self, values: dict[str, Any]) -> None:
        """One line; `values` has at least "step"."""
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(values) + "\n")
            for name, value in values.items():
                if name != "step" and isinstance(value, (int, float)):
                    self._tensorboard.add_scalar(name, value, values["step"])
        except OSError as error:
            self.failure = self.failure or f"cannot write {self.path}: {error.strerror}"

    def close(self) -> None:
        """Flush TensorBoard's events."""
        try:
            self._tensorboard.close()
        except OSError as error:
            self.failure = self.failure or f"cannot write {TENSORBOARD_FOLDER}: {error.strerror}"


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
