"""`evaluate`: a tuned model is compared with its base and with retrieval."""

from pathlib import Path

from ray_ft import artifacts
from ray_ft.api.fingerprints import evaluation_inputs
from ray_ft.api.run_folder import config_path_of, existing_artifact, save
from ray_ft.api.session import ray_session
from ray_ft.artifacts import Report, TrainingSet, TunedModel
from ray_ft.config import Config


def evaluate(config: Config, *, force: bool = False) -> Report:
    """Compare base, tuned and retrieval on the same held-out questions and write the report.

    Raises MissingArtifactError without a tuned model.
    """
    from ray_ft.evaluation.compare import compare

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=config_path_of(config))
    tuned = artifacts.load(TunedModel, config.run_path, config_path=config_path_of(config))
    inputs = evaluation_inputs(config, tuned)
    existing = existing_artifact(Report, config, inputs, verb="evaluate", force=force)
    if existing is not None and Path(existing.html_path).is_file():
        return existing
    with ray_session(config):
        made = compare(
            training_set=training_set,
            tuned=tuned,
            model=config.model,
            evaluation=config.evaluation,
            engine=config.engine.resolved({"tuned": tuned.path} if tuned.is_adapter else {}),
            run_path=str(config.run_path.resolve()),
            seed=config.seed,
            fingerprint=artifacts.digest(inputs),
        )
    save(made, config, inputs)
    return made
