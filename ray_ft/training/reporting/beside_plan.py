"""Predicted beside measured, for the result of every run: memory and step time, and a line where the plan was off."""

import logging
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ray_ft.artifacts import Plan

log = logging.getLogger("ray_ft")

GIB = 2**30
MEMORY_TOLERANCE, TIME_TOLERANCE = 0.05, 0.2
"""Shares by which a prediction may miss before the run says so; docs/benchmarks/estimator-h200.md has what is usual."""


def beside_plan(plan: Plan, lines: Sequence[Mapping[str, Any]], *, max_seq_len: int) -> dict[str, float]:
    """Metrics of the whole run beside the plan's: the peak of memory, and the step in the middle of all by its time.

    `lines` are those of metrics.jsonl. The first step of a run compiles, so no mean: the median is not moved by it.
    """
    timed = [float(line["seconds_per_step"]) for line in lines if "seconds_per_step" in line]
    peaks = [float(line["peak_memory_gib"]) for line in lines if "peak_memory_gib" in line]
    estimate, found = plan.estimate, {}
    rows = plan.num_workers * plan.micro_batch_size * plan.gradient_accumulation_steps
    if timed and estimate.tokens_per_second > 0:
        found["seconds_per_step"] = median(timed)
        found["planned_seconds_per_step"] = rows * max_seq_len / estimate.tokens_per_second
    if peaks:
        memory = estimate.memory
        found["peak_memory_gib"] = max(peaks)
        found["planned_memory_gib"] = (memory.device or memory.total) / GIB
    return found


def say_beside_plan(found: Mapping[str, float], plan: Plan) -> None:
    """One line for people about what `beside_plan` found, and another with what to do where the plan was off."""
    parts, off = [], []
    for what, measured, planned, unit, tolerance in (
        ("memory", "peak_memory_gib", "planned_memory_gib", "GiB", MEMORY_TOLERANCE),
        ("step", "seconds_per_step", "planned_seconds_per_step", "s", TIME_TOLERANCE),
    ):
        if measured not in found or not found[planned]:
            continue
        error = found[planned] / found[measured] - 1
        parts.append(f"{what} {found[measured]:.2f} {unit}, planned {found[planned]:.2f} ({100 * error:+.0f}%)")
        if abs(error) > tolerance:
            off.append(f"{what} by more than {100 * tolerance:.0f}%")
    if parts:
        log.info("measured: %s", "; ".join(parts))
    if off and plan.gpu != "cpu":  # whose time is a guess, and said to be one
        log.warning(
            "the plan was off: %s; `scripts/calibrate` measures this GPU, and plan.profile takes what it finds",
            " and ".join(off),
        )
