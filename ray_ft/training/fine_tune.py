"""Runs training: builds the Ray Train job, follows it on the terminal, and returns the TunedModel.

What a worker does is worker.py's; what may be gone on from is checkpoints/record.py's.
"""

import logging
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray_ft import progress
from ray_ft.artifacts import Plan, TrainingSet, TunedModel, to_json
from ray_ft.config import ModelConfig, TrainConfig
from ray_ft.errors import ConfigError, DataError, TrainingError, first_line
from ray_ft.hardware import placement
from ray_ft.hardware.gpus import automatic_precision
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import tokenizer_digest
from ray_ft.storage import resolved
from ray_ft.trackers import tensorboard
from ray_ft.trackers.base import ID_FOLDER
from ray_ft.training.batches import num_steps
from ray_ft.training.checkpoints.record import FOLDER, Checkpoint, check_same_run, latest_checkpoint, remove_leftovers
from ray_ft.training.checkpoints.remote import fetch_newest, open_store
from ray_ft.training.driver import check_cluster, fit_interruptibly, only_driver
from ray_ft.training.health.bad_batches import BAD_BATCHES_FILE
from ray_ft.training.health.last_words import HANG, read_note, remove_notes
from ray_ft.training.health.shared_folders import leave_mark
from ray_ft.training.reporting.beside_plan import beside_plan, say_beside_plan
from ray_ft.training.reporting.metrics import METRICS_FILE, keep_until, read_metrics
from ray_ft.training.reporting.progress import FollowedSteps
from ray_ft.training.reporting.samples import SAMPLES_FILE
from ray_ft.training.task import TrainingTask
from ray_ft.training.worker import run_worker

log = logging.getLogger("ray_ft")

START_ATTEMPTS = 10  # of a minute each, in which a cluster may bring up the machines that are missing


def fine_tune(
    training_set: TrainingSet,
    plan: Plan,
    *,
    model: ModelConfig,
    model_path: str,
    train: TrainConfig,
    run_path: str,
    seed: int,
    inputs: dict[str, Any],
    fingerprint: str,
    resume: bool = False,
    force: bool = False,
) -> TunedModel:
    """Tune the model as planned, on the Ray cluster that is connected, and write it into the run folder.

    `resume` goes on from the last checkpoint of an unfinished run, `force` throws it away. Raises ConfigError when
    there is one and neither is given, TrainingError when training cannot go on.
    """
    _check(training_set, plan, model_path=model_path, train=train)
    task = make_task(
        training_set, plan, model=model, model_path=model_path, train=train, run_path=run_path, seed=seed, inputs=inputs
    )
    num_workers, cpus_per_worker = plan.num_workers, task.num_threads
    check_cluster(plan, cpus_per_worker=cpus_per_worker, min_workers=train.min_workers)
    with only_driver(run_path):
        _begin(task, resume=resume, force=force)
        task = replace(task, mark=leave_mark(run_path))
        rows = training_set.num_rows["train"]
        log.info("training %s on %d packed rows: %d steps of %d rows on %d %s", _name(plan), rows, task.num_steps,
                 train.global_batch_size, num_workers, _workers(plan))  # fmt: skip
        if plan.backend_reason:
            log.info("backend %s", plan.backend_reason)
        with progress.task("train", "steps", task.num_steps) as steps, FollowedSteps(run_path, steps):
            metrics = _run(task, num_workers=num_workers, cpus_per_worker=cpus_per_worker)
    measured = beside_plan(plan, read_metrics(Path(run_path) / METRICS_FILE), max_seq_len=training_set.max_seq_len)
    say_beside_plan(measured, plan)
    metrics |= measured
    return TunedModel(
        base_model=model.name,
        base_path=model_path,
        base_digest=task.about_base["base_digest"],
        path=str(task.output_path),
        is_adapter=plan.strategy.is_adapter,
        strategy=plan.strategy,
        metrics=metrics,
        steps=int(metrics.pop("stopped_after_step", task.num_steps)),
        fingerprint=fingerprint,
    )


def refuse_unfinished(run_path: str | Path) -> None:
    """Before anything is started: ConfigError where a run can be gone on with, which is neither resumed nor forced."""
    if (checkpoint := latest_checkpoint(run_path)) is not None:
        raise _unfinished(str(run_path), checkpoint.step, int(checkpoint.record["run"]["num_steps"]))


def make_task(
    training_set: TrainingSet,
    plan: Plan,
    *,
    model: ModelConfig,
    model_path: str,
    train: TrainConfig,
    run_path: str,
    seed: int,
    inputs: dict[str, Any],
    num_cpus: int | None = None,
) -> TrainingTask:
    """What the workers are told. `num_cpus` None asks Ray how many cores CPU workers may share."""
    base_path = str(Path(model_path).resolve())
    is_local = Path(model.name).expanduser().exists() or model.name.startswith("builtin:")
    about_base = {
        "base_model": base_path if is_local else model.name,
        "base_digest": base_digest(base_path),
        "tokenizer_digest": training_set.tokenizer_digest,
        "template_digest": training_set.template_digest,
    }
    steps = num_steps(
        training_set.num_rows["train"],
        global_batch_size=train.global_batch_size,
        num_epochs=train.num_epochs,
        max_steps=train.max_steps,
    )
    learning_rate = plan.strategy.default_learning_rate if train.learning_rate is None else train.learning_rate
    planned = automatic_precision(plan.gpu) if plan.precision == "auto" else plan.precision
    precision = planned if train.precision == "auto" else train.precision
    sharding: dict[str, Any] = {"num_workers": plan.num_workers, "micro_batch_size": plan.micro_batch_size}
    if not plan.strategy.needs_deepspeed:
        sharding["backend"] = plan.backend
    identity = {
        "inputs": inputs,
        "strategy": to_json(plan.strategy),
        # DeepSpeed writes one shard per worker; our own engines' state fits any number of them.
        "sharding": sharding if plan.backend == "deepspeed" else {},
        "data_digest": training_set.data_digest,
        "base_digest": about_base["base_digest"],
        "precision": precision,
        "num_steps": steps,
        "seed": seed,
    }
    use_gpu = plan.gpu != "cpu"
    return TrainingTask(
        training_set_path=resolved(training_set.path),
        base_path=base_path,
        about_base=about_base,
        chat_template=None if model.chat_template is None else str(Path(model.chat_template).resolve()),
        run_path=str(Path(run_path).resolve()),
        strategy=plan.strategy,
        backend=plan.backend,
        use_gpu=use_gpu,
        precision=precision,
        num_threads=1 if use_gpu else max(1, (num_cpus or _num_cpus()) // plan.num_workers),
        micro_batch_size=plan.micro_batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps,
        gradient_checkpointing=plan.gradient_checkpointing,
        train=train,
        learning_rate=learning_rate,
        num_steps=steps,
        eval_every=train.eval_every or max(1, steps // 4),
        checkpoint_every=train.checkpoint_every or max(1, steps // 10),
        seed=seed,
        identity=to_json(identity),
        plan=to_json(replace(plan, rejected=())),
        planned_bytes=plan.estimate.memory.total,
        planned_phase=plan.estimate.memory.phase,
    )


def _check(training_set: TrainingSet, plan: Plan, *, model_path: str, train: TrainConfig) -> None:
    """What would otherwise come to light on the workers, minutes later."""
    if training_set.num_rows.get("train", 0) == 0:
        raise DataError(f"{training_set.path} has no rows to train on; every document was skipped or held out")
    if tokenizer_digest(model_path) != training_set.tokenizer_digest:
        raise ConfigError(
            f"{training_set.path} was made with another tokenizer than that of {model_path}. "
            "Run `ray-ft prepare ... --force`."
        )
    per_pass = plan.num_workers * plan.micro_batch_size
    if per_pass * plan.gradient_accumulation_steps != train.global_batch_size:
        raise ConfigError(
            f"train.global_batch_size: {train.global_batch_size} rows do not divide into {plan.num_workers} workers x "
            f"{plan.micro_batch_size} rows x {plan.gradient_accumulation_steps} accumulation steps of the plan"
        )
    for key in ("early_stopping_patience", "num_samples"):
        if getattr(train, key) and not training_set.num_rows.get("validation", 0):
            raise ConfigError(
                f"train.{key}: {training_set.path} holds no validation rows to look at; "
                "raise data.validation_fraction and run `ray-ft prepare ... --force`"
            )
    for tracker in train.trackers:
        tracker.check()
    if train.precision == "fp16" and plan.gpu == "cpu" and plan.strategy.needs_deepspeed:
        raise ConfigError("train.precision: DeepSpeed has no fp16 on a CPU; fp32 or bf16 would work")
    least = train.min_workers
    if least is not None and least > plan.num_workers:
        raise ConfigError(f"train.min_workers: {least} is more than the {plan.num_workers} workers of the plan")
    if least is not None and plan.backend == "deepspeed":
        raise ConfigError(
            f"train.min_workers: DeepSpeed (ZeRO-{plan.strategy.zero_stage}, offload={plan.strategy.offload}) writes "
            "one shard of its state per worker, so their number cannot change; set train.strategy.zero_stage=0, 1 or "
            "2, offload=none and train.backend=native, or leave train.min_workers out"
        )


def _begin(task: TrainingTask, *, resume: bool, force: bool) -> None:
    """Decide between a fresh start and going on, and leave the run folder fit for it."""
    run_path = Path(task.run_path)
    if force:
        for name in (FOLDER, tensorboard.FOLDER, ID_FOLDER, task.output_path.name):
            shutil.rmtree(run_path / name, ignore_errors=True)
        for name in (METRICS_FILE, SAMPLES_FILE, BAD_BATCHES_FILE):
            (run_path / name).unlink(missing_ok=True)
    checkpoint = _fetched(task, resume=resume, force=force) or latest_checkpoint(run_path)
    if checkpoint is not None and not resume:
        raise _unfinished(str(run_path), checkpoint.step, task.num_steps)
    if checkpoint is not None:
        check_same_run(checkpoint, task.identity)
        log.info("going on from %s", checkpoint.path)
        if task.num_steps > (before := int(checkpoint.record["run"]["num_steps"])):
            log.info("extending the run from %d to %d steps: from here on, the learning rate is that of the longer run",
                     before, task.num_steps)  # fmt: skip
    elif resume:
        log.info("no checkpoint in %s yet; starting at the first step", run_path)
    remove_leftovers(run_path)
    remove_notes(run_path)
    with suppress(OSError):  # the workers do it too; here, so that the terminal shows those steps again
        keep_until(run_path / METRICS_FILE, 0 if checkpoint is None else checkpoint.step)


def _fetched(task: TrainingTask, *, resume: bool, force: bool) -> Checkpoint | None:
    """The newest checkpoint from where they are sent to, where the run folder has none; `force` deletes those there."""
    store = open_store(task.train.checkpoint_uri, task.run_path)
    if store is None:
        return None
    try:
        if force:
            store.clear()
        if latest_checkpoint(task.run_path) is not None or not (records := store.records()):
            return None
    except Exception as error:  # whatever the storage's library raises
        raise ConfigError(f"train.checkpoint_uri: {store.uri} cannot be read: {first_line(error)}") from error
    if not resume:
        raise _unfinished(store.uri, list(records.values())[-1]["step"], task.num_steps)
    return fetch_newest(store, task.run_path)


def _unfinished(where: str, step: int, num_steps: int) -> ConfigError:
    return ConfigError(
        f"{where} holds an unfinished run (checkpoint at step {step} of {num_steps}). "
        "Go on with `--resume`, or start over with `--force`."
    )


def _run(task: TrainingTask, *, num_workers: int, cpus_per_worker: int) -> dict[str, float]:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train import TrainingFailedError as RayTrainingFailedError
    from ray.train.torch import TorchConfig

    resources = {"GPU": 1.0, "CPU": 1.0} if task.use_gpu else {"CPU": float(cpus_per_worker)}
    least = task.train.min_workers
    count = num_workers if least is None or least == num_workers else (least, num_workers)
    failures = FailureConfig(max_failures=task.train.max_failures, controller_failure_limit=START_ATTEMPTS)
    try:
        outcome = fit_interruptibly(
            train_loop_per_worker=run_worker,
            train_loop_config=task,
            torch_config=TorchConfig(backend="nccl" if task.use_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=count,
                use_gpu=task.use_gpu,
                resources_per_worker=resources,
                **(placement(task.plan["gpu"]) if task.use_gpu else {}),
            ),
            run_config=RunConfig(name=FOLDER, storage_path=task.run_path, failure_config=failures),
        ).return_value
    except RayTrainingFailedError as error:
        raise TrainingError(_failure(error, task)) from error
    if "error" in outcome:
        raise _with_way_out(outcome["error"], task)
    metrics: dict[str, float] = outcome["metrics"]
    return metrics


def _failure(error: BaseException, task: TrainingTask) -> str:
    """One line: who failed, with what, and what is left."""
    causes = getattr(error, "worker_failures", {})
    first = next(iter(causes.values()), error)
    who = f"the workers failed {task.train.max_failures + 1} times" if causes else "Ray Train's controller failed"
    lines = [line.strip() for line in str(first).splitlines() if line.strip()]
    if (hang := read_note(task.run_path, HANG)) is not None:
        lines = [hang]
    return f"{who}, last with: {lines[-1].rstrip('.') if lines else type(first).__name__}. {_way_out(task)}"


def _with_way_out(error: Exception, task: TrainingTask) -> Exception:
    """The error that the workers agreed on, with what is left and how to go on from it."""
    if not isinstance(error, TrainingError) or "`--force`" in str(error):  # which has said it
        return error
    return TrainingError(f"{str(error).rstrip('.')}. {_way_out(task)}")


def _way_out(task: TrainingTask) -> str:
    checkpoint = latest_checkpoint(task.run_path)
    if checkpoint is None:
        return "There is no checkpoint yet."
    return f"The checkpoint of step {checkpoint.step} is kept; go on with `--resume`."


def _num_cpus() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 1))


def _workers(plan: Plan) -> str:
    """What the count in front of it counts: `1 x CPU worker`, `4 x A100-80GB`."""
    return "x CPU worker" if plan.gpu == "cpu" else f"x {plan.gpu}"


def _name(plan: Plan) -> str:
    return f"{plan.model} by {plan.strategy.name}, ZeRO-{plan.strategy.zero_stage} ({plan.backend} backend)"
