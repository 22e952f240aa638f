"""What every tracker answers: open a run, take numbers by step, close it; training/reporting calls them aside.

A tracker may raise whatever its library raises and may take its time: it is called on a thread of its own, and a run
trains on without it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray_ft.registry import Registry


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about a run when it starts or goes on."""

    name: str
    run_path: Path
    step: int  # the step that the run goes on from; 0 at the start
    params: dict[str, Any]  # configuration, plan, data digest, revision: plain JSON, nested


class TrackerSession(Protocol):
    """An open run of one tracker."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Numbers of one step."""
        ...

    def flush(self) -> None:
        """Hand over what is buffered, because the step is about to be checkpointed."""
        ...

    def close(self, *, finished: bool) -> None:
        """The run is over; `finished` is False where it ended early by an error."""
        ...


@dataclass(frozen=True)
class Tracker:
    """Where a run's numbers go beside metrics.jsonl."""

    name: str = ""
    """The tracker's name in the registry."""

    def check(self) -> None:
        """Raise MissingDependencyError where the tracker's package is not installed; called before training."""

    def start(self, run: TrackedRun) -> TrackerSession:
        """Open the run, or the one that an earlier part of it opened."""
        raise NotImplementedError


TRACKERS: Registry[Tracker] = Registry("tracker")

ID_FOLDER = "trackers"


def remembered_id(run: TrackedRun, tracker: str) -> str | None:
    """The id under which an earlier part of this run was tracked."""
    path = run.run_path / ID_FOLDER / f"{tracker}.id"
    return path.read_text().strip() or None if path.is_file() else None


def remember_id(run: TrackedRun, tracker: str, value: str) -> None:
    """Keep the id in the run folder, so that a resumed run goes on in the same place."""
    path = run.run_path / ID_FOLDER / f"{tracker}.id"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value + "\n")


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as dotted keys and texts, for trackers that know no nesting."""
    for key, value in values.items():
        name = re.sub(r"[^\w./ -]", "_", f"{prefix}{key}")
        if isinstance(value, dict) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, str(value)
