"""`evaluate`: a tuned model is compared with its base and with retrieval."""

import shutil
from pathlib import Path

from ray_ft import artifacts
from ray_ft.api.fingerprints import evaluation_inputs
from ray_ft.api.run_folder import config_path_of, existing_artifact, save
from ray_ft.api.session import ray_session
from ray_ft.artifacts import Comparison, Power, Report, ReviewItem, Ruling, TrainingSet, TunedModel
from ray_ft.config import Config, EvaluationConfig
from ray_ft.hardware import configured_price


def compare(run_a: str | Path, run_b: str | Path, *, evaluation: EvaluationConfig | None = None) -> Comparison:
    """Compare two runs, by their folders, on the questions that both were asked; `evaluation` has margin and draws.

    Raises MissingArtifactError for a run without a report, DataError where no question is common.
    """
    from ray_ft.evaluation.two_runs import compare_runs

    rules = evaluation or EvaluationConfig()
    return compare_runs(run_a, run_b, margin=rules.margin, num_bootstrap=rules.num_bootstrap, seed=0)


def gate(
    run_path: str | Path, *, min_gain: float = 0.0, max_loss: float = 0.05, against: str | Path | None = None
) -> list[Ruling]:
    """Whether a run's report shows a gain, no loss on general questions and none to another run; a ruling each.

    Raises MissingArtifactError for a run without a report, DataError where `against` has no question in common.
    """
    from ray_ft.evaluation.gate import rule_on

    report = artifacts.load(Report, run_path)
    other = None if against is None else compare(against, run_path)
    return rule_on(report.contrasts, min_gain=min_gain, max_loss=max_loss, against=other)


def plan_exam(config: Config) -> list[Power]:
    """Say what the exam of a configuration can show, by stratum, before anything is trained or asked.

    Needs no GPU, no cluster and no tuned model; raises MissingArtifactError without a training set.
    """
    from ray_ft.evaluation.power import plan_exam

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=config_path_of(config))
    return plan_exam(training_set, config.evaluation, seed=config.seed)


def exam_questions(config: Config) -> list[ReviewItem]:
    """The questions that `evaluate` would ask, each with its document's path and the passage that answers it.

    For people who look through them first. Raises MissingArtifactError without a training set, ConfigError for user
    questions that are none, DataError where there are none at all.
    """
    from ray_ft.evaluation.review.items import review_items

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=config_path_of(config))
    return review_items(training_set, config.evaluation, seed=config.seed)


def evaluate(config: Config, *, force: bool = False) -> Report:
    """Compare base, tuned and retrieval on the same held-out questions and write the report.

    One that was killed goes on after the answers that it has; `force` asks all again. Raises MissingArtifactError
    without a tuned model.
    """
    from ray_ft.data.dedup.decontamination import read_common
    from ray_ft.evaluation.compare import compare, kept_answers

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=config_path_of(config))
    tuned = artifacts.load(TunedModel, config.run_path, config_path=config_path_of(config))
    inputs = evaluation_inputs(config, tuned)
    existing = existing_artifact(Report, config, inputs, verb="evaluate", force=force)
    if existing is not None and Path(existing.html_path).is_file():
        return existing
    asks_more = config.evaluation.questions or config.evaluation.num_retention  # than prepare held against training
    common = read_common(config.data.common) if asks_more else []
    if force:
        shutil.rmtree(kept_answers(config.run_path, artifacts.digest(inputs)), ignore_errors=True)
    with ray_session(config):
        engine = config.engine.resolved({"tuned": tuned.path} if tuned.is_adapter else {})
        made = compare(
            training_set=training_set,
            tuned=tuned,
            model=config.model,
            evaluation=config.evaluation,
            engine=engine,
            run_path=str(config.run_path.resolve()),
            seed=config.seed,
            fingerprint=artifacts.digest(inputs),
            common=common,
            price_per_hour=configured_price(config.plan, num_gpus=engine.num_gpus),
        )
    save(made, config, inputs)
    return made
