"""A plan whose chosen row has been traced, and that fits by the larger of both numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray_ft.artifacts import Plan, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.errors import DoesNotFitError
from ray_ft.hardware import Hardware
from ray_ft.models.shape import ModelShape
from ray_ft.planning.choice.choose import choose_plan, make_jobs
from ray_ft.planning.profile import Profile
from ray_ft.planning.trace.check import check_estimate
from ray_ft.planning.trace.process import Tracer

TRIES = 4


def choose_checked_plan(
    shape: ModelShape,
    *,
    hardware: Hardware,
    workload: Workload,
    train: TrainConfig,
    plan: PlanConfig,
    config: Mapping[str, Any],
    notes: Sequence[str] = (),
    profiles: Mapping[str, Profile] | None = None,
) -> Plan:
    """`choose_plan`, traced; a row that fits by formula alone is dropped, and the next best is traced.

    `config` is the model's config.json. Raises what `choose_plan` raises.
    """
    asked = plan
    refused: list[str] = []
    with Tracer().start() as tracer:  # it imports while rows are counted
        for _ in range(TRIES):
            try:
                made = choose_plan(
                    shape, hardware=hardware, workload=workload, train=train, plan=asked, notes=notes, profiles=profiles
                )
            except DoesNotFitError:
                if not refused:
                    raise
                break
            jobs = make_jobs(shape, hardware=hardware, workload=workload, train=train, plan=plan, profiles=profiles)
            job = next(job for job in jobs if job.hardware.gpu == made.gpu)
            check = check_estimate(made.estimate, job, config=config, run=tracer)
            if check.estimate.fits:
                more = (*refused, check.note)
                return replace(
                    made, estimate=check.estimate, notes=(*made.notes, *more), memory_limit_bytes=job.usable_bytes
                )
            row = made.estimate
            refused.append(f"{row.strategy.name} with micro-batch {row.micro_batch_size} was refused: {check.note}")
            # What the formulas left out is kept free from here on.
            share = (1 - asked.headroom_fraction) * made.estimate.memory.total / check.estimate.memory.total
            asked = replace(asked, headroom_fraction=1 - share)
    raise DoesNotFitError(f"No row fits by a trace: {refused[-1]}; plan more GPUs, larger ones or shorter rows")
