"""How far a trial has come: `trial.json` in its folder, and the validation losses that its run has logged so far."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ray_ft.artifacts import changed_keys, to_json, write_text
from ray_ft.errors import ConfigError
from ray_ft.sweeping.space import Trial
from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics

FILE = "trial.json"
Status = Literal["begun", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Record:
    """A trial's state; `begun` without anyone at work on it is a trial that was interrupted."""

    status: Status
    reason: str = ""  # one line: why it failed, or where it was stopped
    inputs: dict[str, Any] = field(default_factory=dict)  # what the trial trains from


def read_record(run_path: str | Path) -> Record | None:
    """The state of a trial; None before it was begun."""
    try:
        return Record(**json.loads((Path(run_path) / FILE).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def write_record(run_path: str | Path, record: Record) -> None:
    """Replace a trial's state, atomically."""
    write_text(Path(run_path) / FILE, json.dumps(to_json(record), indent=1) + "\n")


def end(run_path: str | Path, status: Status, reason: str = "") -> None:
    """Note how a trial ended, keeping what it was made from."""
    begun = read_record(run_path)
    write_record(run_path, Record(status, reason, {} if begun is None else begun.inputs))


def check_same_trials(trials: Sequence[Trial], inputs: Sequence[dict[str, Any]]) -> None:
    """Trials of another configuration would be compared as if they were of this one; ConfigError says what differs."""
    for trial, now in zip(trials, inputs, strict=True):
        record = read_record(trial.run_path)
        changed = [] if record is None else changed_keys(record.inputs, to_json(now))
        if changed:
            raise ConfigError(
                f"{trial.run_path} was made from another configuration ({'; '.join(changed[:3])}). Choose another "
                f"run_name, or start the sweep over with `ray-ft sweep ... --force`."
            )


def validation_losses(run_path: str | Path) -> list[tuple[int, float]]:
    """(step, validation loss), in the order of steps."""
    lines = read_metrics(Path(run_path) / METRICS_FILE)
    return [(line["step"], line["validation_loss"]) for line in lines if "validation_loss" in line]
