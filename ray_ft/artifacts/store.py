"""Artifacts in a run folder: written whole or not at all, and read back or told what is wrong with them."""

import json
import os
import typing
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ray_ft.artifacts.bench import Bench
from ray_ft.artifacts.data import TrainingSet
from ray_ft.artifacts.evaluation import Report
from ray_ft.artifacts.json_form import from_json, to_json
from ray_ft.artifacts.planning import Plan
from ray_ft.artifacts.training import TunedModel
from ray_ft.errors import ConfigError, MissingArtifactError
from ray_ft.rows import stratum_named

Artifact = TypeVar("Artifact", TrainingSet, Plan, TunedModel, Report, Bench)

FILES: dict[type, tuple[str, str]] = {
    TrainingSet: ("training_set.json", "prepare"),
    Plan: ("plan.json", "plan"),
    TunedModel: ("tuned_model.json", "train"),
    Report: ("report.json", "evaluate"),
    Bench: ("bench.json", "bench"),
}
"""File in the run folder, and the verb that makes it."""


def save(artifact: Any, run_path: str | Path, inputs: dict[str, Any] | None = None) -> Path:
    """Write an artifact into its run folder, atomically; `inputs` are the config values that its fingerprint covers."""
    file, _ = FILES[type(artifact)]
    path = Path(run_path) / file
    write_text(path, json.dumps({"inputs": to_json(inputs or {}), "artifact": to_json(artifact)}, indent=1) + "\n")
    return path


def load(cls: type[Artifact], run_path: str | Path, *, config_path: str = "CONFIG") -> Artifact:
    """Read an artifact; MissingArtifactError names the verb that makes it."""
    file, verb = FILES[cls]
    path = Path(run_path) / file
    try:
        value = json.loads(path.read_text())["artifact"]
        return typing.cast(Artifact, from_json(cls, _strata_named(value) if cls is Report else value))
    except FileNotFoundError:
        name = file.removesuffix(".json").replace("_", " ")
        raise MissingArtifactError(f"No {name} in {run_path}. Run `ray-ft {verb} {config_path}` first.") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise MissingArtifactError(
            f"{path} is damaged or from another version ({error}). Run `ray-ft {verb} {config_path} --force`."
        ) from None


def _strata_named(report: dict[str, Any]) -> dict[str, Any]:
    """A report's JSON with today's names of strata."""
    named = {
        rows: [{**row, "stratum": stratum_named(row["stratum"])} if "stratum" in row else row for row in report[rows]]
        for rows in ("scores", "contrasts")
    }
    return {**report, **named}


def load_inputs(cls: type, run_path: str | Path) -> dict[str, Any] | None:
    """The config values an existing artifact was made from; None where there is no artifact."""
    path = Path(run_path) / FILES[cls][0]
    try:
        inputs = json.loads(path.read_text())["inputs"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    assert isinstance(inputs, dict)
    return inputs


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output_dir: cannot read {path}: {error.strerror}")


def remove(cls: type, run_path: str | Path) -> None:
    """Forget an artifact, so that a rebuild that breaks off does not leave the old one looking finished."""
    (Path(run_path) / FILES[cls][0]).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file so that a crash or a full disk leaves either the old content or the new, never half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
