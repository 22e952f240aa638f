"""Runs trials side by side with Ray Tune: as many at once as the GPUs hold, each for itself, some stopped early.

A trial is a Tune function that launches an ordinary Ray Train job. It reserves nothing: the job's workers take all the
resources, so that a trial never holds a core that its own workers wait for. Which trials there are is decided before,
and what has become of them is read from their folders, so Tune's own files are thrown away.
"""

import io
import logging
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Plan, TunedModel
from ray_ft.config import Config, SweepConfig
from ray_ft.errors import RayFTError, first_line, last_line
from ray_ft.sweeping.record import end, read_record, validation_losses

log = logging.getLogger("ray_ft")

DONE = 100.0  # percent of a trial
RESERVED = {"memory": 2**20}  # Tune takes no trial that reserves nothing; of this there is always enough
DIED = "its process died; often that is a machine without memory"
ERROR_FILE = "error.txt"
TUNE_FOLDER = ".tune"


@dataclass(frozen=True)
class TrialTask:
    """What a trial's process is told."""

    setting: str
    config: Config
    plan: Plan
    num_steps: int
    seed: int
    train: Callable[..., TunedModel]
    working_folder: str  # of the driver; relative paths of the configuration start there
    is_over: bool = False  # its losses are told again to a scheduler that has forgotten them

    @property
    def run_path(self) -> Path:
        """The trial's folder, wherever the process works."""
        return Path(self.working_folder) / self.config.run_path


def run_trials(tasks: Mapping[str, TrialTask], sweep: SweepConfig, *, folder: Path, max_concurrent: int) -> None:
    """Carry out all trials on the cluster that is connected; each notes in its folder how it ended.

    Raises KeyboardInterrupt when it was interrupted; what was begun can be gone on with.
    """
    from ray import tune
    from ray.exceptions import RayActorError

    progress = _progress_lines(tasks)
    trainable = tune.with_resources(tune.with_parameters(_trial, tasks=dict(tasks)), RESERVED)
    try:
        with _quiet_tune():
            tune.Tuner(
                trainable,
                param_space={"trial": tune.grid_search(list(tasks))},
                # A process of its own for each: one that still trains when it is stopped cannot take the next trial.
                tune_config=tune.TuneConfig(max_concurrent_trials=max_concurrent, scheduler=_scheduler(sweep)),
                run_config=tune.RunConfig(
                    name=TUNE_FOLDER, storage_path=str(folder.resolve()), callbacks=[progress], verbose=0
                ),
            ).fit()
        for trial in progress.broken:  # not from fit's results: a trial that never reported has no configuration there
            error = trial.get_pickled_error() or trial.get_error()
            if error is not None and not isinstance(error, RayActorError):
                end(tasks[trial.config["trial"]].run_path, "failed", last_line(error))
    finally:
        shutil.rmtree(folder / TUNE_FOLDER, ignore_errors=True)
    if progress.num_ended < len(tasks):
        raise KeyboardInterrupt


def concurrency(plans: Sequence[Plan], *, limit: int | None) -> int:
    """How many trials the cluster carries at once: by GPUs where there are any; on CPUs each takes all cores."""
    import ray

    if any(plan.gpu == "cpu" for plan in plans):
        return 1
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    return limit or max(1, num_gpus // max(plan.num_workers for plan in plans))


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Tune writes result files of its own, logs a traceback for each trial that fails, and prints where JSON may go."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the other printer draws boxes even with verbose=0
    verbose = log.isEnabledFor(logging.DEBUG)
    if not verbose:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with redirect_stdout(sys.stderr if verbose else io.StringIO()):
        yield


def _scheduler(sweep: SweepConfig) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    if sweep.scheduler == "none":
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr="percent",
        metric="validation_loss",
        mode="min",
        max_t=DONE,
        grace_period=DONE * sweep.grace_fraction,
        reduction_factor=sweep.reduction_factor,
        stop_last_trials=False,
    )


# --- in the trial's process -------------------------------------------------------------------------------------------


def _trial(chosen: dict[str, Any], tasks: dict[str, TrialTask]) -> None:
    """Tune's entry: train, report validation losses on the way, and leave a record that says how it ended."""
    task = tasks[chosen["trial"]]
    folder = Path(task.working_folder)
    # On another node the folder may not exist; a configuration that is used there has absolute paths.
    with chdir(folder) if folder.is_dir() else nullcontext(), _reported_losses(task):
        if not task.is_over:
            _train(task)
    losses = validation_losses(task.run_path)
    record = read_record(task.run_path)
    if losses and record is not None and record.status == "finished":
        _report(DONE, losses[-1][1])


def _train(task: TrialTask) -> None:
    try:
        task.train(task.config, plan=task.plan, resume=True)
    except Exception as error:  # a trial that fails costs only itself
        _fail(task, error)
    else:
        end(task.run_path, "finished")


def _fail(task: TrialTask, error: Exception) -> None:
    if not isinstance(error, RayFTError):
        (task.run_path / ERROR_FILE).write_text("".join(traceback.format_exception(error)))
    name = "" if isinstance(error, RayFTError) else f"{type(error).__name__}: "
    end(task.run_path, "failed", f"{name}{first_line(error)}")


@contextmanager
def _reported_losses(task: TrialTask) -> Iterator[None]:
    """While the context lasts, a thread reports every new validation loss, those of an earlier attempt first.

    The last one is left out: a scheduler may stop a trial at any report, and that one is not over until it is saved.
    """
    told: set[int] = set()
    over = threading.Event()

    def tell() -> None:
        for step, loss in validation_losses(task.run_path):
            if step not in told and step < task.num_steps:
                told.add(step)
                _report(DONE * step / task.num_steps, loss)

    def follow() -> None:
        while not over.wait(0.5):
            tell()

    thread = threading.Thread(target=follow, name="losses", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tell()


def _report(percent: float, loss: float) -> None:
    from ray import tune

    tune.report({"percent": percent, "validation_loss": loss})


# --- on the terminal --------------------------------------------------------------------------------------------------


def _progress_lines(tasks: Mapping[str, TrialTask]) -> Any:
    """A Tune callback that turns what happens into lines for people, and notes which trials a scheduler stopped."""
    from ray.tune import Callback

    numbers = {name: i for i, name in enumerate(tasks, start=1)}

    class ProgressLines(Callback):  # type: ignore[misc]  # ray has no types
        num_ended = 0

        def __init__(self) -> None:
            self.broken: list[Any] = []  # trials whose process ended before it could say why

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self._say(trial, "started")

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            self._say(trial, f"{result['percent']:.0f}%, validation loss {result['validation_loss']:.4f}")

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            task = tasks[trial.config["trial"]]
            record = read_record(task.run_path)
            if record is not None and record.status == "begun":
                last = trial.last_result
                reason = f"behind at {last['percent']:.0f}%, validation loss {last['validation_loss']:.4f}"
                end(task.run_path, "stopped", reason)
            self._end(trial)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            end(tasks[trial.config["trial"]].run_path, "failed", DIED)
            self.broken.append(trial)
            self._end(trial)

        def _end(self, trial: Any) -> None:
            self.num_ended += 1
            record = read_record(tasks[trial.config["trial"]].run_path)
            if record is not None:
                self._say(trial, record.status + (f": {record.reason}" if record.reason else ""))

        def _say(self, trial: Any, what: str) -> None:
            name = trial.config["trial"]
            seed = f" seed={tasks[name].seed}" if len({task.seed for task in tasks.values()}) > 1 else ""
            log.info("trial %d/%d %s%s: %s", numbers[name], len(tasks), tasks[name].setting, seed, what)

    return ProgressLines()
