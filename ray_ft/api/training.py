"""`train` and `dry_run`: a training set and a plan become a tuned model, or a rehearsal of it."""

from pathlib import Path

from ray_ft import artifacts
from ray_ft.api.base_model import base_path, shape_of_base
from ray_ft.api.data import prepare
from ray_ft.api.fingerprints import train_inputs
from ray_ft.api.planning import plan as make_plan  # `train` has a parameter of that name
from ray_ft.api.run_folder import config_path_of, existing_artifact, save
from ray_ft.api.session import one_ray_session, ray_session
from ray_ft.artifacts import DryRun, Plan, TrainingSet, TunedModel
from ray_ft.config import Config


def train(config: Config, *, plan: Plan | None = None, resume: bool = False, force: bool = False) -> TunedModel:
    """Tune the model as planned; `resume` goes on from the last checkpoint of an unfinished run, or of one
    that is to have more steps.

    Raises MissingArtifactError without a training set, DataError when its rows would train wrongly, TrainingError when
    training cannot go on.
    """
    from ray_ft.training.checks.gate import check_training_set
    from ray_ft.training.fine_tune import fine_tune, refuse_unfinished

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=config_path_of(config))
    inputs = train_inputs(config, training_set)
    existing = existing_artifact(TunedModel, config, inputs, verb="train", force=force, resume=resume)
    if existing is not None and Path(existing.path).is_dir():
        return existing
    if not (resume or force):
        refuse_unfinished(config.run_path.resolve())
    with ray_session(config):
        if plan is None:
            # A resumed run keeps its plan: shards of ZeRO state fit only the workers that wrote them.
            planned = resume and artifacts.load_inputs(Plan, config.run_path) is not None
            plan = artifacts.load(Plan, config.run_path) if planned else make_plan(config)
        model_path = base_path(config)
        check_training_set(training_set, model_path=model_path, chat_template=config.model.chat_template)
        made = fine_tune(
            training_set,
            plan,
            model=config.model,
            model_path=model_path,
            train=config.train,
            run_path=str(config.run_path.resolve()),
            seed=config.seed if config.train.seed is None else config.train.seed,
            resume=resume,
            force=force,
            inputs=inputs,
            fingerprint=artifacts.digest(inputs),
        )
    save(made, config, inputs)
    return made


def dry_run(config: Config) -> DryRun:
    """Prepare and plan as far as that is not done, check the packed rows, and say what `train` would do with them.

    Needs no GPU and no weights. Raises what `prepare`, `plan` and the checks before training raise.
    """
    from ray_ft.training.checks.dry_run import rehearse

    with one_ray_session():
        training_set = prepare(config)
        made = make_plan(config)
    return rehearse(
        training_set,
        made,
        shape=shape_of_base(config),
        model=config.model,
        model_path=base_path(config, tokenizer_only=True),
        train=config.train,
        seed=config.seed,
    )
