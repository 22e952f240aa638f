"""The plan: the best of all candidates, and why each of the others lost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ray_ft.artifacts import Estimate, Plan, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.hardware import Hardware
from ray_ft.model_shape import ModelShape
from ray_ft.planning.candidates import best, rank, search
from ray_ft.planning.does_not_fit import does_not_fit
from ray_ft.planning.estimate import Job, gib
from ray_ft.planning.profile import Profile, profile_for
from ray_ft.planning.throughput import needed_flops_per_token


def choose_plan(
    shape: ModelShape,
    *,
    hardware: Hardware,
    workload: Workload,
    train: TrainConfig,
    plan: PlanConfig,
    notes: Sequence[str] = (),
    profiles: Mapping[str, Profile] | None = None,
) -> Plan:
    """The best row by plan.objective among those that fit, and the best row of every other set-up with its reason.

    A mixed cluster (`hardware.alternatives`) is planned for each kind of GPU; a run uses one kind.
    `profiles` are what was measured, by GPU; None takes those of the package.
    Raises DoesNotFitError with the closest row and what would make it fit, ConfigError for keys that contradict.
    """
    jobs = make_jobs(shape, hardware=hardware, workload=workload, train=train, plan=plan, profiles=profiles)
    rows = {job: search(job, train=train, objective=plan.objective) for job in jobs}
    fitting = {job: [row for row in found if row.fits] for job, found in rows.items()}
    winners = {job: best(found, plan.objective) for job, found in fitting.items() if found}
    if not winners:
        raise does_not_fit(rows, train=train, objective=plan.objective)
    chosen = best(list(winners.values()), plan.objective)
    job = next(job for job, row in winners.items() if row is chosen)
    rejected = [replace(row, reason=_reason(row, chosen, plan.objective)) for row in rows[job] if row is not chosen]
    return Plan(
        model=shape.name,
        gpu=job.hardware.gpu,
        strategy=chosen.strategy,
        num_workers=chosen.num_workers,
        micro_batch_size=chosen.micro_batch_size,
        gradient_accumulation_steps=chosen.gradient_accumulation_steps,
        gradient_checkpointing=chosen.gradient_checkpointing,
        estimate=chosen,
        rejected=tuple(sorted(rejected, key=lambda row: (not row.fits, rank(row, plan.objective)))),
        notes=(*notes, *_notes(job, chosen, jobs)),
        memory_limit_bytes=job.usable_bytes,
        flops_per_token=needed_flops_per_token(job.shape, chosen.strategy, workload=workload),
        peak_flops=0.0 if job.hardware.is_cpu else job.hardware.peak_flops,
    )


def make_jobs(
    shape: ModelShape,
    *,
    hardware: Hardware,
    workload: Workload,
    train: TrainConfig,
    plan: PlanConfig,
    profiles: Mapping[str, Profile] | None = None,
) -> list[Job]:
    """What an estimate depends on beside the candidate, for each kind of GPU."""
    return [
        Job(
            shape,
            kind,
            workload,
            max_steps=train.max_steps,
            headroom_fraction=plan.headroom_fraction,
            confidence=plan.confidence,
            kernels=train.compile is not False,
            offload_activations=train.offload_activations is not False,
            profile=profile_for(kind.gpu, profiles),
        )
        for kind in (hardware, *hardware.alternatives)
    ]


def _reason(row: Estimate, chosen: Estimate, objective: str) -> str:
    """Why a row lost: it does not fit, it costs more (and what for), or it only adds machinery."""
    if not row.fits:
        return row.reason
    if objective == "memory":
        return f"fits, needs {gib(row.memory.total)} instead of {gib(chosen.memory.total)} GiB"
    ours, theirs = (row.cost, chosen.cost) if objective == "cost" and chosen.cost > 0 else (row.hours, chosen.hours)
    verb = "costs" if objective == "cost" and chosen.cost > 0 else "takes"
    ratio = ours / theirs
    cause = _cause(row, chosen)
    slower = row.hours / chosen.hours
    if slower >= 1.05 and ratio < 1.005:
        saved = f"saves {100 * (1 - ratio):.0f}%" if ratio < 0.995 else "costs the same"
        return f"fits, {saved} but takes {_times(slower)} as long"
    if ratio < 1.005:
        return f"fits, no better: {cause or 'the chosen row is simpler'}"
    return f"fits, {verb} {_times(ratio)}{f': {cause}' if cause else ''}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 1.1 else f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"


def _cause(row: Estimate, chosen: Estimate) -> str:
    """What a fitting row spends that the chosen one does not."""
    strategy, other = row.strategy, chosen.strategy
    if strategy.offload != "none" and other.offload == "none":
        return f"moves {'all weights' if strategy.offload == 'all' else 'the optimizer'} over PCIe"
    if strategy.zero_stage == 3 and other.zero_stage < 3 and row.num_workers > 1:
        return f"gathers the {'base' if strategy.is_adapter else 'weights'} each pass"
    if not strategy.is_adapter and other.is_adapter:
        return "every weight has gradients"
    if strategy.name != other.name and strategy.name == "qlora":
        return "dequantises the base each pass"
    if strategy.zero_stage == 2 and other.zero_stage < 2 and row.gradient_accumulation_steps > 1:
        return "reduces gradients per micro-batch"
    if strategy.zero_stage > other.zero_stage and row.num_workers > 1:
        return "shards what fits whole"
    if row.gradient_checkpointing and not chosen.gradient_checkpointing:
        return "computes activations twice"
    return ""


def _notes(job: Job, chosen: Estimate, jobs: list[Job]) -> list[str]:
    """What the plan assumes, for the reader to check."""
    shape, workload, hardware = job.shape, job.workload, job.hardware
    notes = []
    if shape.source == "catalogue":
        notes.append(f"the shape of {shape.name} is from the built-in catalogue: it is not in the local cache")
    if workload.max_seq_len > shape.max_position_embeddings:
        notes.append(
            f"model.max_seq_len={workload.max_seq_len} is beyond the {shape.max_position_embeddings} positions that "
            f"{shape.name} was made for"
        )
    if len(jobs) > 1:
        others = ", ".join(f"{j.hardware.num_gpus} x {j.hardware.gpu}" for j in jobs if j is not job)
        notes.append(f"the cluster also has {others}; one run uses one kind of GPU")
    if not hardware.is_cpu and chosen.num_workers < hardware.num_gpus:
        notes.append(
            f"uses {chosen.num_workers} of {hardware.num_gpus} GPUs; plan.objective=time or "
            f"train.num_workers={hardware.num_gpus} uses more"
        )
    if hardware.is_cpu:
        notes.append("time on CPU is a rough guess")
    else:
        notes.append(f"{hardware.price_per_hour:.2f} USD per GPU and hour; plan.price_per_hour sets your own")
        notes.append("time comes from published runs of similar software and may be off by a factor of 1.5")
    return notes
