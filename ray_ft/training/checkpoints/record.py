"""What a checkpoint is, and which of them can be gone on from; save.py makes them.

A checkpoint is a folder `checkpoints/step-000120` that appears by a rename once all ranks have written their files, and
that lists every file with its size, so a half-written one is never taken for a whole one:

    checkpoint.json      the cursor (step), config, plan and data digest, the versions it ran on, and the files
    state/               weights that train and their optimizer: DeepSpeed's shards, or files that any rank can read
    adapter/             PEFT folder, for adapters
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import changed_keys
from ray_ft.errors import ConfigError

log = logging.getLogger("ray_ft")

FOLDER = "checkpoints"
RECORD = "checkpoint.json"
STATE = "state"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    step: int
    record: dict[str, Any]


def complete_checkpoints(run_path: str | Path) -> list[Checkpoint]:
    """Checkpoints whose every file is there in full, oldest first."""
    found = []
    for folder in sorted((Path(run_path) / FOLDER).glob("step-*")):
        try:
            record = json.loads((folder / RECORD).read_text())
            whole = all((folder / name).stat().st_size == size for name, size in record["files"].items())
        except (OSError, ValueError, KeyError):
            continue
        if whole:
            found.append(Checkpoint(folder, int(record["step"]), record))
    return found


def latest_checkpoint(run_path: str | Path) -> Checkpoint | None:
    """The newest complete checkpoint; None before the first."""
    return next(reversed(complete_checkpoints(run_path)), None)


def check_same_run(checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Going on is exact only with the same data, base, hyperparameters and sharding.

    Raises ConfigError naming what differs.
    """
    changed = changed_keys(checkpoint.record["run"], identity)
    if changed:
        shown = "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise ConfigError(
            f"cannot resume from {checkpoint.path}: the run has changed ({shown}). "
            "Restore those values, or start over with `--force`."
        )


def best_checkpoint(run_path: str | Path) -> Checkpoint | None:
    """The complete checkpoint with the lowest validation loss of its own step; None where none was validated."""
    validated = [c for c in complete_checkpoints(run_path) if c.record.get("validation_loss") is not None]
    return min(validated, key=lambda checkpoint: float(checkpoint.record["validation_loss"]), default=None)


def remove_leftovers(run_path: str | Path) -> None:
    """Delete what a killed run left half-written."""
    for partial in (Path(run_path) / FOLDER).glob(".partial-*"):
        shutil.rmtree(partial, ignore_errors=True)


def write_tensors(state: Any, path: Path | str) -> None:
    """torch.save that fails with the operating system's reason; torch alone says "unexpected pos 64 vs 0"."""
    import torch

    try:
        with Path(path).open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """The last file of a checkpoint: what it is, and every other file with its size."""
    files = {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}
    (folder / RECORD).write_text(json.dumps({**record, "files": files}, indent=1) + "\n")
