"""Every way to run a job, and the best of them; choose.py explains the choice, does_not_fit.py tries changed jobs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from ray_ft.artifacts import Estimate
from ray_ft.config import TrainConfig
from ray_ft.errors import ConfigError
from ray_ft.planning.choice.estimate import Job, estimate, shortage
from ray_ft.planning.memory.state import Candidate
from ray_ft.strategies import AUTO_STAGE, STRATEGIES, Backend, Strategy

Offload = Literal["none", "optimizer", "all"]
OFFLOADS: tuple[Offload, ...] = ("none", "optimizer", "all")
WORTH_WAITING = 1.10  # of the cheapest row's cost: as much more may be paid to end sooner
CPU_TOKENS = 4096  # in one forward pass
TIE = 1.02  # rows this close in time are equal, and the simplest of them is taken


def search(job: Job, *, train: TrainConfig, objective: str) -> list[Estimate]:
    """The best row of every strategy, ZeRO stage and offload; one that fits if there is one, else the closest."""
    workers = _worker_counts(job, train, objective)
    checkpointing = [False, True] if train.gradient_checkpointing is None else [train.gradient_checkpointing]
    found = []
    for strategy in _strategies(train, job):
        rows = [
            row
            for count in workers
            if _worth_trying(strategy, count, train)
            for row in _rows(strategy, count, checkpointing, job, train, objective)
        ]
        fitting = [row for row in rows if row.fits]
        if fitting:
            found.append(best(fitting, objective))
        elif rows:
            found.append(min(rows, key=lambda row: shortage(row, job)))
    return found


def _rows(
    strategy: Strategy, workers: int, checkpointing: list[bool], job: Job, train: TrainConfig, objective: str
) -> Iterator[Estimate]:
    """The best micro-batch without and with checkpointing; nothing computed twice is faster than all rows at once."""
    for again in checkpointing:
        rows = list(_micro_batches(strategy, workers, again, job, train, objective))
        yield from rows
        whole = any(row.fits and row.gradient_accumulation_steps == 1 for row in rows)
        if whole and objective != "memory" and train.micro_batch_size is None:
            return


def _strategies(train: TrainConfig, job: Job) -> Iterator[Strategy]:
    """Each strategy with each stage and offload that DeepSpeed has, or those the config fixes."""
    bases = [STRATEGIES[name]() for name in STRATEGIES] if train.strategy is None else [train.strategy]
    for base in bases:
        whole = base.without_zero3(job.shape)
        if whole and base.zero_stage == 3:
            raise ConfigError(f"train.strategy.zero_stage: 3 cannot be used: {whole}")
        stages = [0, 1, 2, *([] if whole else [3])] if base.zero_stage == AUTO_STAGE else [base.zero_stage]
        found = False
        for stage in stages:
            for offload in OFFLOADS:
                if base.offload not in ("auto", offload) or not _combines(stage, offload):
                    continue
                if base.offload == "auto" and not _worth_offloading(base, stage, offload, job):
                    continue
                found = True
                strategy = replace(base, zero_stage=stage, offload=offload)
                if train.backend != "native" or not strategy.needs_deepspeed:
                    yield strategy
        if not found:
            raise ConfigError(
                f"train.strategy: offload={base.offload} does not go with zero_stage={base.zero_stage}: the optimizer "
                "can be offloaded from stage 1 on, all weights only with stage 3"
            )


def _combines(stage: int, offload: Offload) -> bool:
    return offload == "none" or (stage >= 1 and offload == "optimizer") or stage == 3


def _worth_offloading(base: Strategy, stage: int, offload: Offload, job: Job) -> bool:
    """Stage 2 offloads what stage 1 does and shards more; bitsandbytes weights stay put; a CPU has no other side."""
    if offload == "none":
        return True
    quantised = base.dequantised_parameters(job.shape) > 0
    return stage >= 2 and not job.hardware.is_cpu and not (offload == "all" and quantised)


def _worth_trying(strategy: Strategy, workers: int, train: TrainConfig) -> bool:
    """One worker has nobody to share with, so stages above 0 serve it for offloading alone, unless the config asks."""
    asked = train.strategy is not None and train.strategy.zero_stage != AUTO_STAGE
    return workers > 1 or strategy.zero_stage == 0 or strategy.offload != "none" or asked


def _worker_counts(job: Job, train: TrainConfig, objective: str) -> list[int]:
    """Counts that divide the global batch; one on CPU, where more workers only share the same cores."""
    rows = job.workload.global_batch_size
    if train.num_workers is not None:
        if rows % train.num_workers:
            raise ConfigError(
                f"train.global_batch_size: {rows} rows cannot be split evenly over {train.num_workers} workers; "
                f"use a multiple of {train.num_workers}"
            )
        if train.num_workers > job.hardware.num_gpus and not job.hardware.is_cpu:
            raise ConfigError(
                f"train.num_workers: {train.num_workers} workers need as many GPUs, and there are "
                f"{job.hardware.num_gpus} (plan.num_gpus)"
            )
        return [train.num_workers]
    if job.hardware.is_cpu:
        return [1]
    return [count for count in range(1, job.hardware.num_gpus + 1) if rows % count == 0]


def _micro_batches(
    strategy: Strategy, workers: int, checkpointing: bool, job: Job, train: TrainConfig, objective: str
) -> Iterator[Estimate]:
    """The largest micro-batch that fits, by bisection over the divisors of a worker's share; else the smallest.

    micro_batch_size * workers * accumulation steps equals the global batch exactly. Memory grows with the micro-batch.
    """
    share = job.workload.global_batch_size // workers

    def row(micro: int) -> Estimate:
        asked: Backend = "deepspeed" if train.backend == "deepspeed" else "native"
        return estimate(Candidate(strategy, workers, micro, share // micro, checkpointing, asked), job, detailed=False)

    if train.micro_batch_size is not None:
        if share % train.micro_batch_size:
            if train.num_workers is not None:
                raise ConfigError(
                    f"train.micro_batch_size: {train.micro_batch_size} does not divide the {share} rows that each of "
                    f"{workers} workers has of train.global_batch_size={job.workload.global_batch_size}"
                )
            return
        yield row(train.micro_batch_size)
        return
    sizes = [size for size in range(1, share + 1) if share % size == 0]
    if job.hardware.is_cpu:  # more tokens at once fill memory and save no time there
        sizes = [s for s in sizes if s * job.workload.max_seq_len <= CPU_TOKENS] or sizes[:1]
    largest = row(sizes[0])
    if objective != "memory" and largest.fits:
        low, high = 0, len(sizes)  # sizes[low] fits, sizes[high] does not
        while high - low > 1:
            middle = (low + high) // 2
            tried = row(sizes[middle])
            if tried.fits:
                low, largest = middle, tried
            else:
                high = middle
    yield largest


def rank(row: Estimate, objective: str) -> tuple[float, ...]:
    if objective == "memory":
        return (row.memory.total, row.hours)
    return (row.cost, row.hours) if objective == "cost" else (row.hours, row.cost)


def best(rows: list[Estimate], objective: str) -> Estimate:
    """The objective's minimum; but cost pays up to 10% more to end sooner by the same strategy.

    A tie goes to the simplest: nothing offloaded, a low ZeRO stage, no checkpointing, few workers, little memory.
    """
    first = min(rows, key=lambda row: rank(row, objective))
    if objective == "memory":
        return first
    near = [row for row in rows if row.strategy.name == first.strategy.name]
    if objective == "cost":
        near = [row for row in near if row.cost <= WORTH_WAITING * first.cost]
    soonest = min(row.hours for row in near)
    ties = [row for row in near if row.hours <= TIE * soonest and row.cost <= WORTH_WAITING * first.cost] or [first]
    return min(ties, key=_simplicity)


def _simplicity(row: Estimate) -> tuple[int, int, bool, int, int]:
    strategy = row.strategy
    offload = ("none", "optimizer", "all").index(strategy.offload)
    return (offload, strategy.zero_stage, row.gradient_checkpointing, row.num_workers, row.memory.total)
