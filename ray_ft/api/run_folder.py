"""The artifacts in a run's folder: kept where they match the configuration, refused where they differ, else made."""

import logging
from typing import Any, TypeVar

import yaml

from ray_ft import artifacts
from ray_ft.artifacts import Bench, Plan, Report, TrainingSet, TunedModel
from ray_ft.config import Config, to_plain
from ray_ft.errors import ConfigError, MissingArtifactError

log = logging.getLogger("ray_ft")

Artifact = TypeVar("Artifact", TrainingSet, TunedModel, Report, Bench)
Loaded = TypeVar("Loaded", TrainingSet, Plan, TunedModel, Report)


def existing_artifact(
    cls: type[Artifact], config: Config, inputs: dict[str, Any], *, verb: str, force: bool, resume: bool = False
) -> Artifact | None:
    """The artifact that is already there and matches; None when there is none or it is to be rebuilt.

    `resume` goes on with a run that ended otherwise than it would now, for one with fewer steps.
    """
    old = artifacts.load_inputs(cls, config.run_path)
    if old is None or force:
        if force:
            artifacts.remove(cls, config.run_path)
        return None
    changed = artifacts.without(artifacts.changed_keys(old, artifacts.to_json(inputs)), artifacts.COMPUTE_THE_SAME)
    if changed and resume and not artifacts.without(changed, artifacts.CHANGE_THE_END):
        return None
    if changed:
        shown = "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")
        name = artifacts.FILES[cls][0].removesuffix(".json").replace("_", " ")
        of_data = all(line.startswith(("sources", "datasets")) for line in changed)
        origin = "other data" if of_data else "another configuration"
        raise ConfigError(
            f"{config.run_path} holds a {name} made from {origin} ({shown}). "
            f"Choose another run_name, or rebuild it with `ray-ft {verb} ... --force`."
        )
    log.info("%s: up to date, skipped", verb)
    return artifacts.load(cls, config.run_path)


def save(artifact: Artifact, config: Config, inputs: dict[str, Any]) -> None:
    """Write an artifact beside the configuration that made it."""
    artifacts.save(artifact, config.run_path, inputs)
    artifacts.write_text(config.run_path / "config.yaml", yaml.safe_dump(to_plain(config), sort_keys=False))


def if_there(cls: type[Loaded], config: Config) -> Loaded | None:
    """An artifact of the run; None where no verb has made it, or it cannot be read."""
    try:
        return artifacts.load(cls, config.run_path)
    except MissingArtifactError:
        return None


def config_path_of(config: Config) -> str:
    """How a message names the configuration: as the run folder's own once it is there."""
    saved = config.run_path / "config.yaml"
    return str(saved) if saved.is_file() else "CONFIG"
