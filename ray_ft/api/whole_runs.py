"""`run`, `sweep` and `submit`: the verbs that call the others, once, for many settings, or on another cluster."""

from collections.abc import Callable, Sequence
from functools import partial

from ray_ft import artifacts
from ray_ft.api.base_model import base_path, shape_of_base
from ray_ft.api.data import prepare
from ray_ft.api.evaluation import evaluate
from ray_ft.api.fingerprints import train_inputs
from ray_ft.api.planning import plan, refuse_unanswerable
from ray_ft.api.session import one_ray_session, ray_session
from ray_ft.api.training import train
from ray_ft.artifacts import Job, Report, Sweep, TunedModel
from ray_ft.config import Config


def run(config: Config, *, resume: bool = False, force: bool = False) -> Report:
    """prepare, plan, train and evaluate; what already matches the configuration is skipped.

    Raises DoesNotFitError before it trains what the engine could not answer with.
    """
    if not resume and (force or artifacts.load_inputs(TunedModel, config.run_path) is None):
        shape_of_base(config)  # both raise before documents are read for a base that cannot be trained
        base_path(config)
    with one_ray_session():
        prepare(config, force=force)
        if force or artifacts.load_inputs(TunedModel, config.run_path) is None:
            refuse_unanswerable(config)
        train(config, resume=resume, force=force)
        return evaluate(config, force=force)


def sweep(config: Config, *, resume: bool = False, force: bool = False) -> Sweep:
    """Train a trial for every setting of sweep.parameters on one training set, and tell which did best.

    `resume` goes on with trials that did not finish, `force` throws all of them away. A trial that fails costs only
    itself. Raises ConfigError for a sweep that cannot work, TrainingError when no trial finishes.
    """
    from ray_ft.sweeping.sweep import Stages, check_sweep, run_sweep
    from ray_ft.training.driver import only_driver

    with only_driver(config.run_path), one_ray_session():
        trials = check_sweep(config, resume=resume, force=force)
        training_set = prepare(config)
        stages = Stages(plan, train, evaluate, train_inputs, session=lambda: ray_session(config))
        return run_sweep(config, trials, training_set, stages=stages)


def submit(
    config: Config,
    verb: str = "run",
    *,
    address: str,
    config_path: str = "config.yaml",
    overrides: Sequence[str] = (),
    follow: bool = True,
    on_log: Callable[[str], None] = print,
) -> Job:
    """Run a verb of this configuration as a job on a Ray cluster that is there; `on_log` gets the lines of its log.

    Raises JobError when the cluster cannot be reached or the job fails.
    """
    from ray_ft.data.prepare import files_read
    from ray_ft.jobs.submit import submit_job

    return submit_job(
        config,
        files_read=partial(files_read, config.data),
        config_path=config_path,
        overrides=list(overrides),
        verb=verb,
        address=address,
        follow=follow,
        on_log=on_log,
    )
