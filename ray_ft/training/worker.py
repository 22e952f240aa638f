"""The training loop that each Ray Train worker runs, told top to bottom; Ray, retries and the terminal are fine_tune's.

The loss of a step is the mean over all target tokens of its global batch. Their number is known from the shards, so
each rank divides its own sum by it, and gradients add up to the right mean whatever the ranks and accumulation steps:
DeepSpeed averages over ranks, which the factor `world_size` undoes, and is told not to divide by accumulation steps.
"""

import fcntl
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.config import TrainConfig
from ray_ft.errors import RayFTError, TrainingError
from ray_ft.strategies import Strategy
from ray_ft.training.batches import PackedRows, RowOrder, collate, evaluation_batches, micro_batches
from ray_ft.training.checkpoint import (
    FOLDER,
    agree,
    check_same_run,
    latest_checkpoint,
    remove_leftovers,
    restore_checkpoint,
    save_checkpoint,
)
from ray_ft.training.deepspeed import Precision, deepspeed_config, learning_rate_factor
from ray_ft.training.progress import MetricsLog

LOCK_SECONDS = 60  # how long a killed run's last worker may take to let go of the run folder


@dataclass(frozen=True)
class TrainingTask:
    """Everything a worker needs to know; the same for all. Paths are absolute: Ray changes the working folder."""

    training_set_path: str
    base_path: str
    about_base: dict[str, str]  # base_model, base_digest, tokenizer_digest: written beside the adapter
    chat_template: str | None
    run_path: str
    strategy: Strategy
    use_gpu: bool
    num_threads: int  # of one worker on the CPU
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    train: TrainConfig
    learning_rate: float
    num_steps: int
    eval_every: int
    checkpoint_every: int
    seed: int
    identity: dict[str, Any]  # what must be equal for a checkpoint to be gone on from

    @property
    def output_path(self) -> Path:
        """Where the tuned weights go."""
        return Path(self.run_path) / ("adapter" if self.strategy.is_adapter else "model")


Report = Callable[[dict[str, Any], Path], None]
"""Tells whoever started the workers about a finished checkpoint; every rank calls it equally often."""


def run_worker(task: TrainingTask) -> dict[str, Any]:
    """Ray Train's entry: the metrics of the run, or the error that ended it.

    Our own errors are raised by all ranks alike and would come back after a restart, so they are handed over as a
    result; anything else is a failure that Ray answers by starting the workers again.
    """
    try:
        return {"metrics": fit(task, report=_report_to_ray)}
    except RayFTError as error:
        return {"error": error}


def fit(task: TrainingTask, *, report: Report) -> dict[str, float]:
    """Train from the last checkpoint, or from the base, to the last step, and write the tuned weights.

    The process group exists already. Every rank returns the same metrics.
    """
    _quiet(task)
    import torch
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    device, precision = _device(task)
    rows = PackedRows(task.training_set_path, "train")
    held_out = PackedRows(task.training_set_path, "validation")
    order = RowOrder(len(rows), global_batch_size=task.train.global_batch_size, seed=task.seed)
    tokens_per_step = task.train.global_batch_size * rows.num_tokens / len(rows)

    with _only_run(task.run_path, enabled=rank == 0):
        engine = start_engine(task, device=device, precision=precision)
        torch.manual_seed(task.seed * 1000 + rank)  # dropout; the adapters were seeded alike on all ranks
        step = _restore(engine, task)
        metrics_log = MetricsLog(task.run_path, after_step=step) if rank == 0 else None
        metrics: dict[str, float] = {}
        loss_sum, num_targets, since, logged_step = 0.0, 0, time.perf_counter(), step
        started = since
        engine.train()

        while step < task.num_steps:
            batch = order.global_batch(step)
            batch_targets = rows.num_targets(batch)
            learning_rate = engine.optimizer.param_groups[0]["lr"]
            losses, grad_norm = [], None
            for indices in micro_batches(
                batch, micro_batch_size=task.micro_batch_size, rank=rank, world_size=world_size
            ):
                loss = forward(engine, collate(rows, indices), num_targets=batch_targets, device=device)
                losses.append(loss.detach())
                engine.backward(loss * world_size, scale_wrt_gas=False)
                if engine.is_gradient_accumulation_boundary():
                    step_losses = _sum_over_ranks(losses)
                    if not math.isfinite(step_losses):
                        raise _not_finite(losses, step=step, rows=rows, batch=batch, task=task)
                    grad_norm = _plain_gradient_norm(engine)
                engine.step()
            step += 1
            loss_sum += step_losses * batch_targets
            num_targets += batch_targets

            if step % task.train.log_every == 0 or step == task.num_steps:
                seconds = (time.perf_counter() - since) / (step - logged_step)
                metrics |= {
                    "loss": loss_sum / num_targets,
                    "learning_rate": learning_rate,
                    "grad_norm": float(engine.get_global_grad_norm() if grad_norm is None else grad_norm),
                    "tokens_per_second": tokens_per_step / seconds,
                }
                if metrics_log is not None:
                    metrics_log.write(
                        {
                            "step": step,
                            "epoch": order.epoch(step),
                            **{k: v for k, v in metrics.items() if k != "validation_loss"},
                            "num_target_tokens": num_targets,
                            "seconds_per_step": seconds,
                            "seconds": time.perf_counter() - started,
                        }
                    )
                loss_sum, num_targets, since, logged_step = 0.0, 0, time.perf_counter(), step

            if len(held_out) and (step % task.eval_every == 0 or step == task.num_steps):
                metrics["validation_loss"] = evaluate(engine, held_out, task=task, device=device)
                if metrics_log is not None:
                    metrics_log.write({"step": step, "validation_loss": metrics["validation_loss"]})
                since = time.perf_counter() if logged_step == step else since

            if step % task.checkpoint_every == 0 or step == task.num_steps:
                path = save_checkpoint(
                    engine,
                    task.run_path,
                    step=step,
                    identity=task.identity,
                    keep=task.train.num_checkpoints_to_keep,
                    metrics=metrics,
                    problem=metrics_log.failure if metrics_log is not None else None,
                )
                report({"step": step, **metrics}, path)
                since = time.perf_counter() if logged_step == step else since

        if metrics_log is not None:
            metrics_log.close()
        write_output(engine, task)
        return metrics or dict(_last_metrics(task))


def start_engine(task: TrainingTask, *, device: Any, precision: Precision) -> Any:
    """Load the model as the strategy says and hand it to DeepSpeed with our optimizer and schedule."""
    import deepspeed
    import deepspeed.ops
    import torch

    if device.type == "cpu":
        # DeepSpeed would compile a shared-memory operator at first use, and fail without a compiler; gloo does as well.
        vars(deepspeed.ops)["__compatible_ops__"] = {"deepspeed_shm_comm": False}
    config = deepspeed_config(
        task.strategy,
        micro_batch_size=task.micro_batch_size,
        gradient_accumulation_steps=task.gradient_accumulation_steps,
        max_grad_norm=task.train.max_grad_norm,
        precision=precision,
    )
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    failures: list[str] = []
    with _weights_split_while_loading(config, enabled=task.strategy.zero_stage == 3 and not task.strategy.is_quantised):
        try:
            model = task.strategy.load_model(task.base_path, dtype=dtype, device=device, seed=task.seed)
        except RayFTError as error:
            failures.append(str(error))
    agree(failures)
    if task.use_gpu:
        _use_fused_kernels(model)
    if task.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = _make_optimizer(model, task)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: learning_rate_factor(
            step,
            num_steps=task.num_steps,
            warmup_ratio=task.train.warmup_ratio,
            shape=task.train.lr_scheduler,
        ),
    )
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, lr_scheduler=scheduler, config=config)
    return engine


def forward(model: Any, batch: dict[str, Any], *, num_targets: int, device: Any) -> Any:
    """This batch's share of the global batch's mean loss: the sum of its target tokens' losses / num_targets."""
    on_device = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    # No cache: with one, transformers takes position ids for offsets into it and lets packed examples see each other.
    return model(**on_device, use_cache=False, num_items_in_batch=num_targets).loss


def evaluate(engine: Any, rows: PackedRows, *, task: TrainingTask, device: Any) -> float:
    """Mean loss over all target tokens of a split."""
    import torch
    import torch.distributed as dist

    num_targets = rows.num_targets(list(range(len(rows))))
    losses = []
    engine.eval()
    with torch.no_grad():
        for indices, counts in evaluation_batches(
            len(rows),
            micro_batch_size=task.micro_batch_size,
            rank=dist.get_rank(),
            world_size=dist.get_world_size(),
        ):
            losses.append(forward(engine, collate(rows, indices, counts), num_targets=num_targets, device=device))
    engine.train()
    return _sum_over_ranks(losses)


def write_output(engine: Any, task: TrainingTask) -> None:
    """The tuned adapter or model, put in place by a rename; all ranks call it and all learn of a failure."""
    import torch.distributed as dist

    from ray_ft.training.checkpoint import attempt
    from ray_ft.training.export import gather_trainable, write_adapter, write_model

    weights = gather_trainable(engine)
    target = task.output_path
    partial = target.with_name(f".{target.name}.partial")
    failures: list[str] = []
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
        if task.strategy.is_adapter:
            if not any(bool(value.any()) for name, value in weights.items() if "lora_B" in name):
                failures.append("the adapter has not trained: all its lora_B weights are zero")
            attempt(failures, write_adapter, engine.module, weights, partial, task.about_base)
        else:
            attempt(failures, write_model, engine.module, weights, partial, task.base_path, task.chat_template)
        if not failures:
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
    agree(failures, step=task.num_steps, partial=partial)


# --- parts ------------------------------------------------------------------------------------------------------------


def _report_to_ray(metrics: dict[str, Any], checkpoint: Path) -> None:
    """Tell Ray the metrics and where the checkpoint lies, but do not register the checkpoint.

    Ray would note it in a snapshot that it writes in place: a full disk then ends its controller instead of the step
    that filled it, and a kill can leave a snapshot cut short, on which Ray refuses to start.
    """
    import ray.train

    ray.train.report({**metrics, "checkpoint": str(checkpoint)})


def _quiet(task: TrainingTask) -> None:
    """Settings that count only before DeepSpeed and transformers are imported, and less talk from both."""
    if not task.use_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")


def _device(task: TrainingTask) -> tuple[Any, Precision]:
    """fp32 on the CPU; on a GPU bf16, or fp16 where the chip has no bf16."""
    import torch

    if not task.use_gpu:
        # Ray's CPUs are what someone declared; more threads than cores would spend their time waiting for each other.
        cores = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        torch.set_num_threads(min(task.num_threads, cores))
        return torch.device("cpu"), "fp32"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device, "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"


@contextmanager
def _only_run(run_path: str, *, enabled: bool) -> Iterator[None]:
    """Rank 0 holds the run folder, so that workers that outlive a killed driver cannot write into the resumed run."""
    failures: list[str] = []
    folder = Path(run_path) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while enabled and not failures:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    failures.append(f"another process is training in {run_path}; stop it first")
                time.sleep(0.5)
        agree(failures)
        yield


def _restore(engine: Any, task: TrainingTask) -> int:
    """Go on from the newest complete checkpoint, the same on all ranks; returns the step to go on with."""
    import torch.distributed as dist

    choice: list[Any] = [None]
    if dist.get_rank() == 0:
        remove_leftovers(task.run_path)
        choice[0] = latest_checkpoint(task.run_path)
    dist.broadcast_object_list(choice, src=0)
    checkpoint = choice[0]
    if checkpoint is None:
        return 0
    check_same_run(checkpoint, task.identity)
    return restore_checkpoint(engine, checkpoint)


def _last_metrics(task: TrainingTask) -> dict[str, float]:
    """Metrics of the last checkpoint, for a run that was stopped between it and the writing of the tuned weights."""
    checkpoint = latest_checkpoint(task.run_path)
    return {} if checkpoint is None else dict(checkpoint.record["metrics"])


@contextmanager
def _weights_split_while_loading(config: dict[str, Any], *, enabled: bool) -> Iterator[None]:
    """Under ZeRO-3, make from_pretrained give each rank only its part of every weight instead of a whole copy."""
    if not enabled:
        yield
        return
    from transformers.integrations import HfDeepSpeedConfig

    keep_alive = HfDeepSpeedConfig(config)  # transformers holds it by a weak reference
    yield
    del keep_alive


def _use_fused_kernels(model: Any) -> None:
    """Liger's kernels, where it is installed and knows the architecture: the logits are never held as a whole."""
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ImportError:
        return
    _apply_liger_kernel_to_instance(model=model.get_base_model() if hasattr(model, "peft_config") else model)


def _make_optimizer(model: Any, task: TrainingTask) -> Any:
    """AdamW; biases and norms are not decayed."""
    import torch

    trainable = [p for p in model.parameters() if p.requires_grad]
    # Under ZeRO-3 a parameter is flat, and ds_shape is what it was.
    decayed = [p for p in trainable if len(getattr(p, "ds_shape", p.shape)) >= 2]
    others = [p for p in trainable if len(getattr(p, "ds_shape", p.shape)) < 2]
    groups = [{"params": decayed, "weight_decay": task.train.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if task.use_gpu and task.strategy.offload in ("optimizer", "all"):
        from deepspeed.ops.op_builder import CPUAdamBuilder

        if CPUAdamBuilder().is_compatible():
            from deepspeed.ops.adam import DeepSpeedCPUAdam

            return DeepSpeedCPUAdam(groups, lr=task.learning_rate, weight_decay=0.0)
    return torch.optim.AdamW(groups, lr=task.learning_rate)


def _plain_gradient_norm(engine: Any) -> Any:
    """ZeRO-0 in fp32 runs torch's own optimizer, which tells no norm; None where DeepSpeed's optimizer will."""
    import torch

    if hasattr(engine.optimizer, "_global_grad_norm"):
        return None
    norm = torch.linalg.vector_norm
    # In fp32 the sum over a large embedding would be off in the fifth digit.
    parts = [norm(p.grad, dtype=torch.float64) for p in engine.module.parameters() if p.grad is not None]
    return norm(torch.stack(parts))


def _sum_over_ranks(losses: list[Any]) -> float:
    import torch
    import torch.distributed as dist

    total = torch.stack(losses).double().sum()
    dist.all_reduce(total)
    return float(total)


def _not_finite(
    losses: list[Any], *, step: int, rows: PackedRows, batch: list[int], task: TrainingTask
) -> TrainingError:
    """Names the rows whose loss is not a number, and the chunks in them; the same on all ranks."""
    import torch
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    mine = micro_batches(batch, micro_batch_size=task.micro_batch_size, rank=rank, world_size=world_size)
    bad = [i for loss, indices in zip(losses, mine, strict=True) if not torch.isfinite(loss) for i in indices]
    everyone: list[list[int]] = [[] for _ in range(world_size)]
    dist.all_gather_object(everyone, bad)
    indices = [i for of_rank in everyone for i in of_rank]
    chunks = [chunk for i in indices for chunk in rows.chunk_ids(i)]
    return TrainingError(
        f"step {step + 1}: the loss is not finite on row{'s' if len(indices) > 1 else ''} "
        f"{', '.join(map(str, indices[:8]))} (chunks {', '.join(chunks[:4])}{', ...' if len(chunks) > 4 else ''}). "
        "Lower train.learning_rate or train.max_grad_norm, or look at those chunks."
    )
