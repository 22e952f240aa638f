"""The public functions: load a stage's inputs, call the stage, save what it made.

Each stage is skipped when its artifact was already made from the same configuration and inputs; where they differ, the
run folder is left alone and the difference is named.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from ray_ft import artifacts
from ray_ft.artifacts import (
    DryRun,
    Endpoint,
    Inspection,
    Job,
    Plan,
    Report,
    Sizing,
    Sweep,
    TrainingSet,
    TunedModel,
    Workload,
)
from ray_ft.config import Config, load_config, to_plain
from ray_ft.errors import ConfigError, JobError, MissingArtifactError, first_line
from ray_ft.hardware import Hardware, hardware_for
from ray_ft.models.added_tokens import with_added_tokens
from ray_ft.models.folder import resolve_model
from ray_ft.models.shape import MODEL_TYPES, ModelShape, load_model_config, load_model_shape
from ray_ft.quiet import quiet_libraries

__all__ = [
    "dry_run",
    "evaluate",
    "export",
    "inspect",
    "load_config",
    "plan",
    "prepare",
    "run",
    "serve",
    "smallest_cluster",
    "submit",
    "sweep",
    "train",
]

log = logging.getLogger("ray_ft")
Artifact = TypeVar("Artifact", TrainingSet, TunedModel, Report)
Loaded = TypeVar("Loaded", TrainingSet, Plan, Report)
Dtype = Literal["bf16", "fp16", "fp32"]

ASSUMED_TOKENS = 10_000_000  # what plan assumes before there is a training set


def prepare(config: Config, *, force: bool = False, retry_quarantined: bool = False) -> TrainingSet:
    """Turn documents, code and datasets into the training set of this run.

    `retry_quarantined` reads the files again whose parsers failed, with four times the time and twice the memory.
    Raises DataError when the sources give nothing to train on, ConfigError when the run folder holds another one.
    """
    from ray_ft.data.prepare import datasets_digest, prepare_training_set, sources_digest

    inputs = _data_inputs(config)
    inputs |= {"sources": sources_digest(config.data)} if config.data.sources else {}
    inputs |= {"datasets": datasets_digest(config.data)} if config.data.datasets else {}
    existing = _existing(TrainingSet, config, inputs, verb="prepare", force=force)
    if existing is not None and Path(existing.path).is_dir():
        if not retry_quarantined:
            return existing
        if not any(state.startswith("quarantined") for state in existing.files):
            log.info("prepare: nothing is in quarantine")
            return existing
    with ray_session(config):
        generator = config.data.generator
        model_path = _base_path(config, tokenizer_only=generator is None or not generator.needs_weights)
        made = prepare_training_set(
            config.data,
            model=config.model,
            model_path=model_path,
            output_path=str(config.run_path.resolve() / "data"),
            seed=config.seed,
            inputs_digest=artifacts.digest(inputs),
            retry_quarantined=retry_quarantined,
        )
    _save(made, config, inputs)
    return made


def inspect(
    config: Config, *, num_examples: int = 3, dropped: bool = False, path: str | Path | None = None
) -> Inspection:
    """Say what this run's training set holds, with some of its examples drawn at random beside their source.

    `dropped` draws them from those that were left out. `path` is a new folder that gets the set as JSONL of messages
    and as Parquet, with a dataset card, for `datasets.load_dataset`. Raises MissingArtifactError without a training
    set, ConfigError when the folder is not empty.
    """
    from ray_ft.data.report.inspection import inspect_training_set

    made = artifacts.load(TrainingSet, config.run_path, config_path=_named(config))
    about = inspect_training_set(made, num_examples=num_examples, dropped=dropped, seed=config.seed)
    if path is not None:
        from ray_ft import __version__
        from ray_ft.data.report.export import export_training_set

        generator = to_plain(config.data.generator)
        facts = {
            "name": config.run_name,
            "version": __version__,
            "model": config.model.name,
            "sources": [*config.data.sources, *(d.path for d in config.data.datasets)],
            "generator": generator and f"{generator['name']} {generator.get('model', config.model.name)}",
            "seed": config.seed,
        }
        export_training_set(made, about, Path(path), facts=facts)
    return about


def plan(config: Config, *, hardware: Hardware | None = None, check: bool = False) -> Plan:
    """Predict memory, time and cost of every strategy and choose one; `hardware` None takes plan.gpu, else asks Ray.

    `check` also traces a training step of the chosen row (about ten seconds; needs neither GPU nor weights) and takes
    the larger memory of both. Raises DoesNotFitError when no strategy fits.
    """
    from ray_ft.planning.choice.choose import choose_plan
    from ray_ft.planning.show.page import render_page
    from ray_ft.planning.speed.profile import load_profiles, packaged_profiles

    shape = _traceable_shape(config) if check else _shape(config)
    if hardware is None:
        hardware = _hardware(config)
    workload, notes = _workload(config)
    profiles = dict(packaged_profiles())
    if config.plan.profile is not None:
        profiles |= load_profiles(config.plan.profile)
    known: dict[str, Any] = {
        "hardware": hardware,
        "workload": workload,
        "train": config.train,
        "plan": config.plan,
        "notes": notes,
        "profiles": profiles,
    }
    if check:
        from ray_ft.planning.trace.plan import choose_checked_plan

        values, _ = load_model_config(config.model.name, revision=config.model.revision)
        made = choose_checked_plan(shape, config=values, **known)
    else:
        made = choose_plan(shape, **known)
    artifacts.save(made, config.run_path, {"model": to_plain(config.model), "plan": to_plain(config.plan)})
    artifacts.write_text(config.run_path / "plan.html", render_page(made))
    return made


def smallest_cluster(config: Config, *, max_hours: float) -> Sizing:
    """The fewest GPUs of every kind (or of plan.gpu's) that train the model in `max_hours`; asks no cluster.

    Raises DoesNotFitError where none does.
    """
    from ray_ft.planning.choice.smallest import smallest_cluster as smallest
    from ray_ft.planning.speed.profile import load_profiles, packaged_profiles

    profiles = dict(packaged_profiles())
    if config.plan.profile is not None:
        profiles |= load_profiles(config.plan.profile)
    workload, notes = _workload(config)
    return smallest(
        _shape(config),
        max_hours=max_hours,
        workload=workload,
        train=config.train,
        plan=config.plan,
        notes=notes,
        profiles=profiles,
    )


def train(config: Config, *, plan: Plan | None = None, resume: bool = False, force: bool = False) -> TunedModel:
    """Tune the model as planned; `resume` goes on from the last checkpoint of an unfinished run.

    Raises MissingArtifactError without a training set, DataError when its rows would train wrongly, TrainingError when
    training cannot go on.
    """
    from ray_ft.training.checks.gate import check_training_set
    from ray_ft.training.fine_tune import fine_tune, refuse_unfinished

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=_named(config))
    inputs = _train_inputs(config, training_set)
    existing = _existing(TunedModel, config, inputs, verb="train", force=force)
    if existing is not None and Path(existing.path).is_dir():
        return existing
    if not (resume or force):
        refuse_unfinished(config.run_path.resolve())
    with ray_session(config):
        if plan is None:
            # A resumed run keeps its plan: shards of ZeRO state fit only the workers that wrote them.
            planned = resume and artifacts.load_inputs(Plan, config.run_path) is not None
            plan = artifacts.load(Plan, config.run_path) if planned else make_plan(config)
        model_path = _base_path(config)
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
    _save(made, config, inputs)
    return made


def dry_run(config: Config) -> DryRun:
    """Prepare and plan as far as that is not done, check the packed rows, and say what `train` would do with them.

    Needs no GPU and no weights. Raises what `prepare`, `plan` and the checks before training raise.
    """
    from ray_ft.training.checks.rehearse import rehearse

    with one_ray_session():
        training_set = prepare(config)
        made = make_plan(config)
    return rehearse(
        training_set,
        made,
        shape=_shape(config),
        model=config.model,
        model_path=_base_path(config, tokenizer_only=True),
        train=config.train,
        seed=config.seed,
    )


def evaluate(config: Config, *, force: bool = False) -> Report:
    """Compare base, tuned and retrieval on the same held-out questions and write the report.

    Raises MissingArtifactError without a tuned model.
    """
    from ray_ft.evaluation.compare import compare

    training_set = artifacts.load(TrainingSet, config.run_path, config_path=_named(config))
    tuned = artifacts.load(TunedModel, config.run_path, config_path=_named(config))
    inputs = _evaluation_inputs(config, tuned)
    existing = _existing(Report, config, inputs, verb="evaluate", force=force)
    if existing is not None and Path(existing.html_path).is_file():
        return existing
    with ray_session(config):
        made = compare(
            training_set=training_set,
            tuned=tuned,
            model=config.model,
            evaluation=config.evaluation,
            engine=config.engine,
            run_path=str(config.run_path.resolve()),
            seed=config.seed,
            fingerprint=artifacts.digest(inputs),
        )
    _save(made, config, inputs)
    return made


def serve(config: Config, *, blocking: bool = True) -> Endpoint:
    """Serve the base and its adapters over HTTP; `blocking` waits until interrupted.

    Raises ModelError when an adapter belongs to another base, ConfigError when the port is taken.
    """
    from ray_ft.serving.deploy import deploy, models_of_run

    models = models_of_run(config, config_path=_named(config))
    if not blocking and not os.environ.get("RAY_ADDRESS") and not _is_connected():
        raise ConfigError(
            "serve --detach needs a cluster that outlives this command: start one with `ray start --head` "
            "and give --address, or leave --detach out"
        )
    with ray_session(config, keep=not blocking):
        return deploy(
            base_path=models.base_path,
            base_name=models.base_name,
            adapters=models.adapters,
            engine=config.engine,
            serving=config.serving,
            blocking=blocking,
            chat_template=config.model.chat_template,
        )


def run(config: Config, *, resume: bool = False, force: bool = False) -> Report:
    """prepare, plan, train and evaluate; what already matches the configuration is skipped."""
    with one_ray_session():
        prepare(config, force=force)
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
        stages = Stages(make_plan, train, evaluate, _train_inputs, session=lambda: ray_session(config))
        return run_sweep(config, trials, training_set, stages=stages)


def export(config: Config, path: str | Path, *, merge: bool = False, dtype: Dtype | None = None) -> Path:
    """Write the tuned model and its model card to a folder in plain PEFT or Hugging Face format.

    `merge` folds the adapter into its base; `dtype` is that of whole weights, by default bf16 after training on GPUs.
    Raises ConfigError when the folder is not empty.
    """
    quiet_libraries()
    from ray_ft.training.export.model_card import RunFacts
    from ray_ft.training.export.weights import export_model

    made_from = artifacts.load_inputs(TrainingSet, config.run_path) or {}
    tuned = artifacts.load(TunedModel, config.run_path, config_path=_named(config))
    of_this_model = (artifacts.load_inputs(Report, config.run_path) or {}).get("tuned_model") == tuned.fingerprint
    run = RunFacts(
        name=config.run_name,
        train=to_plain(config.train),
        seed=config.seed if config.train.seed is None else config.train.seed,
        training_set=_if_there(TrainingSet, config),
        sources=_described(made_from.get("sources")),
        datasets=_described(made_from.get("datasets")),
        plan=_if_there(Plan, config),
        report=_if_there(Report, config) if of_this_model else None,
    )
    return export_model(
        tuned, path=str(path), merge=merge, chat_template=config.model.chat_template, dtype=dtype, run=run
    )


def _described(origin: dict[str, Any] | None) -> str:
    """What a training set was made from, without its name: a card may go where paths are nobody's business."""
    return f"{origin['digest']} ({origin['num_files']:,} files, {origin['num_bytes']:,} bytes)" if origin else ""


def _if_there(cls: type[Loaded], config: Config) -> Loaded | None:
    """An artifact of the run; None where no verb has made it, or it cannot be read."""
    try:
        return artifacts.load(cls, config.run_path)
    except MissingArtifactError:
        return None


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
    from ray_ft.jobs.submit import submit_job

    return submit_job(
        config,
        config_path=config_path,
        overrides=list(overrides),
        verb=verb,
        address=address,
        follow=follow,
        on_log=on_log,
    )


def _shape(config: Config) -> ModelShape:
    """The base's shape, with the run's own tokens in it."""
    shape = load_model_shape(config.model.name, revision=config.model.revision)
    return shape.with_added_tokens(len(config.model.added_tokens))


def _traceable_shape(config: Config) -> ModelShape:
    """The same, by a trace for an architecture without formulas."""
    values, _ = load_model_config(config.model.name, revision=config.model.revision)
    if values.get("model_type") in MODEL_TYPES:
        return _shape(config)
    from ray_ft.planning.trace.shape import shape_by_trace

    return shape_by_trace(values, config.model.name).with_added_tokens(len(config.model.added_tokens))


def _base_path(config: Config, *, tokenizer_only: bool = False) -> str:
    """Local folder of the base, with the run's own tokens in it."""
    model = config.model
    path = resolve_model(
        model.name, output_dir=config.output_dir, revision=model.revision, tokenizer_only=tokenizer_only
    )
    return with_added_tokens(path, model.added_tokens, output_dir=config.output_dir, tokenizer_only=tokenizer_only)


def _is_connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


make_plan = plan  # `train` has a parameter of that name


@contextmanager
def ray_session(config: Config, *, keep: bool = False) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a local one and stop it again unless `keep`.

    A session that is already open (a notebook's, a test's) is used and left open.
    """
    quiet_libraries()
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    verbose = log.isEnabledFor(logging.DEBUG)
    options = {"log_to_driver": verbose, "logging_level": logging.ERROR}
    if address is None:
        ray.init(address="local", include_dashboard=False, **options)
    else:
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise JobError(f"cannot connect to the Ray cluster at {address}: {first_line(error)}") from None
    if threading.current_thread() is threading.main_thread():
        # Ray's handler prints a C++ stack. What a scheduler sends before it kills is an interruption like Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if not keep and not _session_is_shared.get():
            ray.shutdown()


_session_is_shared: ContextVar[bool] = ContextVar("session_is_shared", default=False)


@contextmanager
def one_ray_session() -> Iterator[None]:
    """Let the stages inside share one cluster: the first that needs it starts it, and it stops at the end."""
    was_connected = _is_connected()
    token = _session_is_shared.set(True)
    try:
        yield
    finally:
        _session_is_shared.reset(token)
        if _is_connected() and not was_connected:
            sys.modules["ray"].shutdown()


# --- what a fingerprint covers ----------------------------------------------------------------------------------------


def _data_inputs(config: Config) -> dict[str, Any]:
    model = to_plain(config.model)
    # Where answers lie, what is kept and what parsers may take change how a set is made, not what of.
    runtime = {"answers_path", "keep_parsed", "parse_seconds", "parse_memory_gib"}
    data = {k: v for k, v in to_plain(config.data).items() if k not in runtime}
    return {"model": model, "data": data, "seed": config.seed}


def _train_inputs(config: Config, training_set: TrainingSet) -> dict[str, Any]:
    # Workers, micro-batches and logging change how a run is carried out, not what it computes.
    runtime = {
        "num_workers", "micro_batch_size", "gradient_checkpointing", "log_every", "checkpoint_every",
        "num_checkpoints_to_keep", "max_failures", "checkpoint_uri", "min_workers", "on_non_finite",
        "max_grad_norm_ratio", "max_skipped_steps", "hang_timeout_s", "trackers", "num_samples",
    }  # fmt: skip
    section = {k: v for k, v in to_plain(config.train).items() if k not in runtime}
    if isinstance(section["strategy"], dict):
        section["strategy"] = {k: v for k, v in section["strategy"].items() if k not in ("zero_stage", "offload")}
    return {
        "model": to_plain(config.model),
        "train": section,
        "seed": config.seed,
        "training_set": training_set.fingerprint,
    }


def _evaluation_inputs(config: Config, tuned: TunedModel) -> dict[str, Any]:
    engine = {k: v for k, v in to_plain(config.engine).items() if k != "batch_size"}
    section = to_plain(config.evaluation)
    if config.evaluation.questions is not None:
        path = Path(config.evaluation.questions)
        section["questions_digest"] = artifacts.digest(path.read_text(errors="replace")) if path.is_file() else None
    return {"evaluation": section, "engine": engine, "seed": config.seed, "tuned_model": tuned.fingerprint}


def _existing(
    cls: type[Artifact], config: Config, inputs: dict[str, Any], *, verb: str, force: bool
) -> Artifact | None:
    """The artifact that is already there and matches; None when there is none or it is to be rebuilt."""
    old = artifacts.load_inputs(cls, config.run_path)
    if old is None or force:
        if force:
            artifacts.remove(cls, config.run_path)
        return None
    changed = artifacts.changed_keys(old, artifacts.to_json(inputs))
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


def _save(artifact: Artifact, config: Config, inputs: dict[str, Any]) -> None:
    artifacts.save(artifact, config.run_path, inputs)
    artifacts.write_text(config.run_path / "config.yaml", yaml.safe_dump(to_plain(config), sort_keys=False))


def _hardware(config: Config) -> Hardware:
    if config.plan.gpu is not None:
        return hardware_for(config.plan)
    from ray_ft.hardware import detect

    with ray_session(config):
        return detect(config.plan)


def _workload(config: Config) -> tuple[Workload, tuple[str, ...]]:
    from ray_ft.planning.speed.lengths import attended_tokens

    notes: tuple[str, ...] = ()
    num_tokens = config.plan.num_tokens
    mean_example_tokens = num_validation_tokens = None
    if artifacts.load_inputs(TrainingSet, config.run_path) is not None:
        training_set = artifacts.load(TrainingSet, config.run_path)
        num_tokens = num_tokens or training_set.num_tokens.get("train", 0)
        mean = num_tokens / max(training_set.num_examples.get("train", 0), 1)
        mean_example_tokens = attended_tokens(training_set.path) or mean
        num_validation_tokens = float(training_set.num_tokens.get("validation", 0))
    elif num_tokens is None:
        num_tokens = ASSUMED_TOKENS
        notes = (f"no training set yet: time and cost are for {ASSUMED_TOKENS:,} tokens per epoch (plan.num_tokens)",)
    num_epochs = config.train.num_epochs
    if config.train.max_steps is not None:
        rows = config.train.max_steps * config.train.global_batch_size
        num_epochs = rows * config.model.max_seq_len / max(num_tokens, 1)
    workload = Workload(
        num_tokens=num_tokens,
        num_epochs=num_epochs,
        max_seq_len=config.model.max_seq_len,
        global_batch_size=config.train.global_batch_size,
        mean_example_tokens=mean_example_tokens,
        num_validation_tokens=(
            config.data.validation_fraction * num_tokens if num_validation_tokens is None else num_validation_tokens
        ),
    )
    return workload, notes


def _named(config: Config) -> str:
    saved = config.run_path / "config.yaml"
    return str(saved) if saved.is_file() else "CONFIG"
