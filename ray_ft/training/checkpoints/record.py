"""What a checkpoint is, and which of them can be gone on from; save.py makes them.

A checkpoint is a folder `checkpoints/step-000120` that appears by a rename once every rank has said which files it has
written, and that lists each with size and digest, so one that is half-written or spoilt is never taken for a whole one:

    checkpoint.json      the cursor (step), config, plan and data digest, the versions it ran on, and the files
    state/               weights that train and their optimizer: DeepSpeed's shards, or files that any rank can read
    adapter/             PEFT folder, for adapters
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import CHANGE_THE_END, COMPUTE_THE_SAME, changed_keys, digest, without
from ray_ft.errors import ConfigError
from ray_ft.hardware.gpus import automatic_precision
from ray_ft.training.checkpoints.files import Written, sync

log = logging.getLogger("ray_ft")

FOLDER = "checkpoints"
RECORD = "checkpoint.json"
STATE = "state"
LEFTOVER = ".partial-"  # how the names of folders begin that nobody wants any more


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    step: int
    record: dict[str, Any]

    @property
    def has_digests(self) -> bool:
        """Revision 0de0c56 listed sizes alone."""
        return "sha256" in self.record


def folder_name(step: int) -> str:
    """Of a checkpoint in its place."""
    return f"step-{step:06d}"


def complete_checkpoints(run_path: str | Path) -> list[Checkpoint]:
    """Checkpoints whose every file is there in full, oldest first; files.damage reads them too."""
    found = (_read(folder) for folder in sorted((Path(run_path) / FOLDER).glob("step-*")))
    return [checkpoint for checkpoint in found if isinstance(checkpoint, Checkpoint)]


def broken_checkpoints(run_path: str | Path) -> dict[Path, str]:
    """Folders in the place of a checkpoint that are none, oldest first, and why."""
    found = {folder: _read(folder) for folder in sorted((Path(run_path) / FOLDER).glob("step-*"))}
    return {folder: why for folder, why in found.items() if isinstance(why, str)}


def _read(folder: Path) -> Checkpoint | str:
    """The checkpoint in a folder, by its record and the sizes of its files, or why there is none."""
    try:
        record = json.loads((folder / RECORD).read_text())
        own = record.pop("digest", None)
        if own is not None and own != digest(record):
            return f"{RECORD} is not what was written"
        for name, size in record["files"].items():
            if (there := (folder / name).stat().st_size) != size:
                return f"{name} has {there} of {size} bytes"
        return Checkpoint(folder, int(record["step"]), record)
    except OSError as error:
        return f"{Path(error.filename or RECORD).name}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{RECORD} cannot be read"


def latest_checkpoint(run_path: str | Path) -> Checkpoint | None:
    """The newest complete checkpoint; None before the first."""
    return next(reversed(complete_checkpoints(run_path)), None)


def check_same_run(checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Going on is exact only with the same data, base, hyperparameters, precision and sharding.

    What computes the same may differ, and so may what changes the end alone: a run can be made longer, not shorter.
    Raises ConfigError naming what differs, or where an earlier version did not write down which shares it saved.
    """
    shares = any(name.startswith(f"{STATE}/partitioned-") for name in checkpoint.record["files"])
    if shares and not checkpoint.has_digests:
        raise ConfigError(
            f"cannot resume from {checkpoint.path}: an earlier version wrote its ZeRO-1 or -2 state without names; "
            "finish the run with that version, or start over with `--force`"
        )
    gpu = checkpoint.record.get("plan", {}).get("gpu", "cpu")
    before = {"precision": automatic_precision(gpu), "num_steps": 0, **checkpoint.record["run"]}
    now = {"precision": before["precision"], "num_steps": before["num_steps"], **identity}
    changed = without(changed_keys(before, now), (*COMPUTE_THE_SAME, *CHANGE_THE_END, "num_steps"))
    if now["num_steps"] < before["num_steps"]:
        changed.append(f"num_steps: {before['num_steps']} -> {now['num_steps']}, and a run can only be made longer")
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
    """Delete what a killed run left half-written, or half-deleted."""
    for partial in (Path(run_path) / FOLDER).glob(f"{LEFTOVER}*"):
        shutil.rmtree(partial, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete a checkpoint so that a kill leaves no half of it in its place."""
    aside = folder.with_name(f"{LEFTOVER}old-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def write_record(folder: Path, record: dict[str, Any], files: Mapping[str, Written]) -> None:
    """The last file of a checkpoint: what it is, and every other file with size and digest. It is on the disk then.

    Raises OSError where a file is not there as the rank that wrote it says.
    """
    for name, written in files.items():
        if (size := (folder / name).stat().st_size) != written.size:
            raise OSError(None, f"{name} has {size} bytes instead of {written.size}")
    sizes = {name: written.size for name, written in sorted(files.items())}
    whole = {**record, "files": sizes, "sha256": {name: files[name].sha256 for name in sizes}}
    (folder / RECORD).write_text(json.dumps({**whole, "digest": digest(whole)}, indent=1) + "\n")
    sync(folder / RECORD)
    sync(folder)
