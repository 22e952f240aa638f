"""The plan: the best of all candidates, and why each of the others lost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ray_ft.artifacts import Estimate, Plan, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import Hardware
from ray_ft.hardware.attention import ATTENTION_NAMES, FLASH4_GPUS, has_flash4
from ray_ft.models.shape import ModelShape
from ray_ft.planning.choice.candidates import best, rank, search
from ray_ft.planning.choice.does_not_fit import does_not_fit
from ray_ft.planning.choice.estimate import Job, as_candidate, estimate, shortage
from ray_ft.planning.choice.reasons import reason, why_backend
from ray_ft.planning.profile import Profile, profile_for
from ray_ft.planning.speed.throughput import needed_flops_per_token


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
    others = [(row, job) for row in rows[job] if row is not chosen]
    if train.backend == "auto" and chosen.backend == "native" and not job.hardware.is_cpu:
        others.append((estimate(replace(as_candidate(chosen), backend="deepspeed"), job, detailed=False), job))
    for other in (other for other in jobs if other is not job and rows[other]):  # the best of every other kind of GPU
        closest = min(rows[other], key=lambda row: shortage(row, other))
        others.append((winners.get(other, closest), other))
    rejected = [replace(row, reason=reason(row, chosen, job=at, objective=plan.objective)) for row, at in others]
    detailed = estimate(as_candidate(chosen), job)
    return Plan(
        model=shape.name,
        gpu=job.hardware.gpu,
        strategy=chosen.strategy,
        num_workers=chosen.num_workers,
        micro_batch_size=chosen.micro_batch_size,
        gradient_accumulation_steps=chosen.gradient_accumulation_steps,
        gradient_checkpointing=chosen.gradient_checkpointing,
        estimate=detailed,
        rejected=tuple(sorted(rejected, key=lambda row: (not row.fits, rank(row, plan.objective)))),
        notes=(*notes, *_notes(job, chosen, jobs)),
        memory_limit_bytes=job.usable_bytes,
        flops_per_token=needed_flops_per_token(job.shape, chosen.strategy, workload=workload),
        peak_flops=0.0 if job.hardware.is_cpu else job.hardware.peak_flops,
        precision=job.compute_precision,
        backend=chosen.backend,
        attention=job.attention,
        backend_reason=why_backend(chosen, asked=train.backend),
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
    """What an estimate depends on beside the candidate, for each kind of GPU that has what train.precision names.

    Raises ConfigError where none has.
    """
    kinds = [k for k in (hardware, *hardware.alternatives) if k.is_cpu or k.has_bf16 or train.precision != "bf16"]
    if not kinds:
        raise ConfigError(f"train.precision: {hardware.gpu} has no bf16; auto or fp16 would work")
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
            precision=None if train.precision == "auto" else train.precision,
            profile=profile_for(kind.gpu, profiles),
            attention=_attention(plan, kind),
        )
        for kind in kinds
    ]


def _attention(plan: PlanConfig, hardware: Hardware) -> str:
    """The kernel that will attend: what the plan names, else what is installed here unless the GPU is elsewhere."""
    if hardware.is_cpu or not hardware.has_bf16:
        return ""
    if not hardware.gpu.startswith(FLASH4_GPUS) or plan.attention == "flash2":
        return "flash2"
    installed = plan.attention == "auto" and plan.gpu is None and has_flash4()
    return "flash4" if plan.attention == "flash4" or installed else "flash2"


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
    if hardware.num_free is not None and hardware.num_free < chosen.num_workers:
        notes.append(
            f"{hardware.num_free} of {hardware.num_gpus} x {hardware.gpu} are free now; the run waits for the others, "
            f"or takes what is free with train.num_workers"
        )
    if not hardware.is_cpu and chosen.num_workers < hardware.num_gpus:
        notes.append(
            f"uses {chosen.num_workers} of {hardware.num_gpus} GPUs; plan.objective=time or "
            f"train.num_workers={hardware.num_gpus} uses more"
        )
    if hardware.is_cpu:
        notes.append("time on CPU is a rough guess")
    else:
        notes.append(f"{hardware.price_per_hour:.2f} USD per GPU and hour; plan.price_per_hour sets your own")
        if job.attention:
            other = f"; time is converted from {ATTENTION_NAMES[job.profile.attention]}, with which it was measured"
            converted = job.profile.num_runs and job.attention != job.profile.attention
            notes.append(
                f"attention is by {ATTENTION_NAMES[job.attention]} (plan.attention){other if converted else ''}"
            )
        notes.append(_how_sure(job))
        if job.compute_precision == "fp32":
            notes.append("train.precision=fp32: memory is for 32 bits, time for 16, so it takes longer than this says")
    return notes


def _how_sure(job: Job) -> str:
    """Where memory and time come from, and how far off nine of ten runs are; no confidence in what nobody measured."""
    profile = job.profile
    if not job.shape.exact:
        return (
            f"no {job.shape.model_type} was measured: how far off memory and time are is not known; "
            "leave more free by plan.headroom_fraction"
        )
    memory, hours = (f"{100 * 1.645 * error:.0f}%" for error in (profile.memory_error, profile.time_error))
    where = f"{profile.num_runs} runs on this GPU" if profile.num_runs else profile.source
    if not profile.num_runs:
        return f"nothing was measured on this GPU: memory may be off by {memory} and time by {hours}, by {where}"
    return (
        f"a row fits with {100 * job.confidence:g}% confidence; memory may be off by {memory} and time by {hours}, "
        f"by {where}"
    )
