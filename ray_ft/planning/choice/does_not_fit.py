"""The answer when nothing fits: the closest row, and every single change of the config that would make one fit."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ray_ft.artifacts import Estimate
from ray_ft.config import TrainConfig
from ray_ft.errors import ConfigError, DoesNotFitError
from ray_ft.hardware import GIB, GPUS, gpu_hardware
from ray_ft.planning.choice.candidates import search
from ray_ft.planning.choice.estimate import Job, gib, shortage
from ray_ft.strategies import AUTO_STAGE, STRATEGIES

SHORTEST_ROW = 256
MOST_GPUS = 64


def does_not_fit(rows: Mapping[Job, list[Estimate]], *, train: TrainConfig, objective: str) -> DoesNotFitError:
    """The error for `rows`, of which none fits."""
    pairs = [(row, job) for job, found in rows.items() for row in found]
    if not pairs:
        return DoesNotFitError(
            "No micro-batch divides the global batch: train.micro_batch_size * workers * accumulation steps must equal "
            f"train.global_batch_size; lower train.micro_batch_size={train.micro_batch_size}."
        )
    closest, job = min(pairs, key=lambda pair: shortage(*pair))
    hardware = job.hardware
    where = "this machine" if hardware.is_cpu else f"{hardware.num_gpus} x {hardware.gpu}"
    named = train.strategy is None
    what = "No strategy fits" if named else f"{closest.strategy.name} does not fit"
    changes = list(_changes(job, train, objective))
    advice = f" {_join(changes)}." if changes else ""
    return DoesNotFitError(
        f"{what} {where} ({gib(job.usable_bytes)} GiB usable); closest is {_describe(closest)}, "
        f"which {closest.reason}.{advice}"
    )


def _describe(row: Estimate) -> str:
    strategy = row.strategy
    offload = "" if strategy.offload == "none" else f", offload={strategy.offload}"
    workers = f", {row.num_workers} workers" if row.num_workers > 1 else ""
    return f"{strategy.name} (zero_stage={strategy.zero_stage}{offload}{workers}, micro-batch {row.micro_batch_size})"


def _changes(job: Job, train: TrainConfig, objective: str) -> Iterator[str]:
    """Single changes after which a row fits, the cheapest for the user first."""
    strategy, workload, hardware = train.strategy, job.workload, job.hardware
    if train.gradient_checkpointing is False and _fits(job, replace(train, gradient_checkpointing=None), objective):
        yield "set train.gradient_checkpointing=true"
    if train.micro_batch_size is not None and _fits(job, replace(train, micro_batch_size=None), objective):
        yield "leave train.micro_batch_size to the plan"
    if strategy is not None:
        freed = replace(strategy, zero_stage=AUTO_STAGE, offload="auto")
        if freed != strategy and _fits(job, replace(train, strategy=freed), objective):
            yield "leave train.strategy.zero_stage and offload to the plan"
        for name in STRATEGIES:
            if name != strategy.name and _fits(job, replace(train, strategy=STRATEGIES[name]()), objective):
                yield f"set train.strategy.name={name}"
    length = workload.max_seq_len // 2
    while length >= SHORTEST_ROW:
        if _fits(replace(job, workload=replace(workload, max_seq_len=length)), train, objective):
            yield f"lower model.max_seq_len to {length}"
            break
        length //= 2
    if hardware.is_cpu:
        return
    if _fits(replace(job, hardware=replace(hardware, host_memory_bytes=2**50)), train, objective):
        yield "use nodes with more host memory (plan.host_memory_gib)"
    if train.num_workers is None:
        count = 2 * hardware.num_gpus
        while count <= MOST_GPUS:
            if _fits(replace(job, hardware=gpu_hardware(hardware.gpu, count)), train, objective):
                yield f"use {count} GPUs"
                break
            count *= 2
    for name in sorted((n for n in GPUS if GPUS[n].gib > hardware.memory_bytes / GIB), key=lambda n: GPUS[n].gib):
        if _fits(replace(job, hardware=gpu_hardware(name, hardware.num_gpus)), train, objective):
            yield f"use {hardware.num_gpus} x {name}"
            break


def _fits(job: Job, train: TrainConfig, objective: str) -> bool:
    try:
        return any(row.fits for row in search(job, train=train, objective=objective))
    except ConfigError:
        return False


def _join(changes: list[str]) -> str:
    text = changes[0] if len(changes) == 1 else f"{', '.join(changes[:-1])}, or {changes[-1]}"
    return text[0].upper() + text[1:]
