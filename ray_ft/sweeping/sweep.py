"""Runs a sweep from its settings to its table: the entrance of sweeping.

A sweep runs whole stages, so it stands above them; the public functions that it calls for each trial are handed in.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ray_ft import artifacts
from ray_ft.artifacts import Plan, Report, Sweep, TrainingSet, TunedModel, write_text
from ray_ft.config import Config, to_plain
from ray_ft.errors import ConfigError, RayFTError, TrainingError
from ray_ft.evaluation.exam.tasks import TUNED
from ray_ft.progress import duration
from ray_ft.sweeping import plot, ranking, table
from ray_ft.sweeping.ranking import Outcome
from ray_ft.sweeping.record import Record, check_same_trials, end, read_record, write_record
from ray_ft.sweeping.scores import read_items
from ray_ft.sweeping.search import TrialTask, concurrency, run_trials
from ray_ft.sweeping.space import FOLDER, Trial, changed_values, expand
from ray_ft.training.batches import num_steps

log = logging.getLogger("ray_ft")

BUILTIN_FOLDER = "builtin"


@dataclass(frozen=True)
class Stages:
    """The public functions that a sweep calls for its trials."""

    plan: Callable[[Config], Plan]
    train: Callable[..., TunedModel]
    evaluate: Callable[[Config], Report]
    train_inputs: Callable[[Config, TrainingSet], dict[str, Any]]
    session: Callable[[], AbstractContextManager[None]]


def check_sweep(config: Config, *, resume: bool, force: bool) -> list[Trial]:
    """The trials, before anything is prepared for them; `force` throws away those that are there.

    Raises ConfigError for a sweep that cannot work, or that was begun and is neither to be resumed nor forced.
    """
    trials = expand(config)
    if config.sweep.metric != "validation_loss" and TUNED not in config.evaluation.systems:
        raise ConfigError(f"sweep.metric: {config.sweep.metric} needs {TUNED!r} in evaluation.systems")
    if force:
        shutil.rmtree(config.run_path / FOLDER, ignore_errors=True)
    records = [read_record(trial.run_path) for trial in trials]
    unfinished = [r for r in records if r is not None and r.status in ("begun", "failed")]
    if unfinished and not resume:
        raise ConfigError(
            f"{config.run_path / FOLDER} holds {len(unfinished)} trials that did not finish. "
            "Go on with `--resume`, or start over with `--force`."
        )
    return trials


def run_sweep(config: Config, trials: Sequence[Trial], training_set: TrainingSet, *, stages: Stages) -> Sweep:
    """Plan, train and compare all trials, and write the table, the CSV and the plot.

    A trial that fails costs only itself. Raises TrainingError when none finishes.
    """
    if config.sweep.metric == "validation_loss" and not training_set.num_rows.get("validation", 0):
        raise ConfigError("sweep.metric: validation_loss needs held-out documents; raise data.validation_fraction")
    inputs = [stages.train_inputs(trial.config, training_set) for trial in trials]
    check_same_trials(trials, inputs)
    over = {
        t.name for t in trials if (r := read_record(t.run_path)) is not None and r.status in ("finished", "stopped")
    }
    if over:
        log.info("%d of %d trials are there already", len(over), len(trials))
    if len(over) < len(trials):
        for trial, trained_from in zip(trials, inputs, strict=True):
            if trial.name not in over:
                _begin(config, trial, trained_from, training_set)
        _share_builtin(config)
        with stages.session():
            _train(config, trials, training_set, over=over, stages=stages)
    problems: dict[str, str] = {}
    if config.sweep.metric != "validation_loss":
        problems = {trial.name: problem for trial in trials if (problem := _evaluate(trial, stages=stages))}
    return _conclude(config, [_outcome(trial, config, problems.get(trial.name, "")) for trial in trials])


def _begin(config: Config, trial: Trial, inputs: dict[str, Any], training_set: TrainingSet) -> None:
    """Make the trial's folder an ordinary run folder, in which every verb works."""
    artifacts.save(training_set, trial.run_path, artifacts.load_inputs(TrainingSet, config.run_path))
    write_text(trial.run_path / "config.yaml", yaml.safe_dump(to_plain(trial.config), sort_keys=False))
    write_record(trial.run_path, Record("begun", inputs=inputs))


def _share_builtin(config: Config) -> None:
    """A builtin base is made once per output folder, and all trials are to have the same."""
    if config.model.name.startswith("builtin:"):
        link = config.run_path / FOLDER / BUILTIN_FOLDER
        (Path(config.output_dir) / BUILTIN_FOLDER).mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path("..", "..", BUILTIN_FOLDER), target_is_directory=True)


def _train(
    config: Config, trials: Sequence[Trial], training_set: TrainingSet, *, over: set[str], stages: Stages
) -> None:
    tasks: dict[str, TrialTask] = {}
    for trial in trials:
        if trial.name in over and config.sweep.scheduler == "none":
            continue
        try:
            tasks[trial.name] = _task(trial, training_set, is_over=trial.name in over, stages=stages)
        except RayFTError as error:
            end(trial.run_path, "failed", str(error))
            log.info("trial %s: failed: %s", trial.name, error)
    if not set(tasks) - over:
        return
    plans = [task.plan for task in tasks.values()]
    at_once = min(concurrency(plans, limit=config.sweep.max_concurrent), len(tasks))
    hours = sum(task.plan.estimate.hours for name, task in tasks.items() if name not in over)
    cost = sum(task.plan.estimate.cost for name, task in tasks.items() if name not in over)
    log.info(
        "%d trials, %d at a time: about %s of training%s by their plans",
        len(set(tasks) - over), at_once, duration(3600 * hours / at_once), f" and {cost:.2f} USD" if cost else "",
    )  # fmt: skip
    run_trials(tasks, config.sweep, folder=config.run_path / FOLDER, max_concurrent=at_once)


def _task(trial: Trial, training_set: TrainingSet, *, is_over: bool, stages: Stages) -> TrialTask:
    train = trial.config.train
    return TrialTask(
        setting=trial.setting,
        config=trial.config,
        # A trial that was begun keeps its plan: shards of ZeRO state fit only the workers that wrote them.
        plan=_kept_plan(trial) or stages.plan(trial.config),
        num_steps=num_steps(
            training_set.num_rows["train"],
            global_batch_size=train.global_batch_size,
            num_epochs=train.num_epochs,
            max_steps=train.max_steps,
        ),
        seed=trial.seed,
        train=stages.train,
        working_folder=str(Path.cwd()),
        is_over=is_over,
    )


def _kept_plan(trial: Trial) -> Plan | None:
    return None if artifacts.load_inputs(Plan, trial.run_path) is None else artifacts.load(Plan, trial.run_path)


def _evaluate(trial: Trial, *, stages: Stages) -> str:
    """Evaluate a trial that has finished; returns why it could not be, or ""."""
    record = read_record(trial.run_path)
    if record is None or record.status != "finished":
        return ""
    log.info("trial %s: evaluating", trial.name)
    try:
        stages.evaluate(trial.config)
    except RayFTError as error:
        log.info("trial %s: not evaluated: %s", trial.name, error)
        return f"not evaluated: {error}"
    return ""


def _outcome(trial: Trial, config: Config, problem: str) -> Outcome:
    """What the trial's folder says; `problem` is why its evaluation failed."""
    record = read_record(trial.run_path)
    if record is None or record.status == "begun":
        return Outcome(trial, "failed", "it was interrupted")
    if record.status != "finished":
        return Outcome(trial, record.status, record.reason)
    tuned = artifacts.load(TunedModel, trial.run_path)
    outcome = Outcome(trial, "finished", problem, metrics=tuned.metrics)
    if problem:
        return outcome
    if config.sweep.metric == "validation_loss":
        return replace(outcome, value=tuned.metrics["validation_loss"])
    items = read_items(trial.run_path, config.sweep)
    return replace(outcome, value=items.value, items=items)


def _conclude(config: Config, outcomes: Sequence[Outcome]) -> Sweep:
    """Rank, say what it means, and write it down."""
    sweep, folder = config.sweep, config.run_path
    standings = ranking.rank(outcomes, sweep, config.evaluation, seed=config.seed)
    by_setting = {outcome.trial.setting: outcome.trial for outcome in outcomes}
    has_winner = bool(standings) and standings[0].verdict == "winner"
    made = Sweep(
        metric=sweep.metric,
        standings=tuple(standings),
        statements=tuple(ranking.statements(standings, sweep, num_documents=_num_documents(outcomes))),
        winner=changed_values(by_setting[standings[0].setting]) if has_winner else {},
        path=str((folder / FOLDER).resolve()),
        csv_path=str((folder / "sweep.csv").resolve()),
        plot_path=_draw(config, standings),
    )
    write_text(Path(made.csv_path), table.render_csv(outcomes, sweep.metric))
    write_text(folder / "sweep.json", json.dumps(artifacts.to_json(made), indent=1) + "\n")
    write_text(folder / "sweep.txt", table.render_table(made) + "\n")
    if all(outcome.value is None for outcome in outcomes):
        raise TrainingError(f"no trial of {len(outcomes)} finished; the first: {outcomes[0].reason}")
    return made


def _num_documents(outcomes: Sequence[Outcome]) -> int | None:
    """Independent documents behind an evaluation metric; None for the validation loss."""
    return next((len(outcome.items.weights) for outcome in outcomes if outcome.items is not None), None)


def _draw(config: Config, standings: Sequence[artifacts.Standing]) -> str | None:
    path = (config.run_path / "sweep.png").resolve()
    if all(s.value is None or not s.parameters for s in standings):
        return None
    of_documents = config.sweep.metric != "validation_loss"
    error_bars = "95% intervals over documents" if of_documents else "± spread over seeds"
    try:
        plot.draw(
            standings,
            metric=config.sweep.metric,
            error_bars=error_bars if of_documents or config.sweep.num_seeds > 1 else "",
            title=f"{config.run_name}: {len(standings)} settings, {_seeds(config.sweep.num_seeds)}; ring: the winner",
            path=path,
        )
    except ImportError:
        log.info("no plot: matplotlib is missing; pip install 'ray_ft[plot]' and give the same command again")
        return None
    return str(path)


def _seeds(number: int) -> str:
    return "one seed each" if number == 1 else f"{number} seeds each"
