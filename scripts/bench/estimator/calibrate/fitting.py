"""A GPU's profile from the rows that were measured on it, and how well such a profile predicts rows it has not seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median, pstdev
from typing import Any

from bench.estimator.measurements import Row, configuration_of
from bench.estimator.predict import predict, seconds_by_profile
from ray_ft.planning.profile import Profile, profile_for

FOLDS = 5
LEAST_ERROR = 0.01  # of memory that must be there: the rows say what was allocated, not how it was scattered
UNLIKELY = 1e-5  # per squared distance from where the search starts: few rows cannot tell all rates apart
RATES: dict[str, tuple[float, float, float]] = {
    "efficiency": (0.65, 0.2, 0.9),
    "attention_efficiency": (0.45, 0.1, 0.9),
    "traffic_efficiency": (0.8, 0.3, 1.0),
    "eager_efficiency": (0.4, 0.1, 0.9),
    "dequantise_rate": (1e12, 2e11, 3e12),
    "link_bandwidth": (3e11, 2e10, 5e11),
    "launch_seconds": (5e-4, 5e-5, 3e-3),
    "hook_seconds": (4e-4, 5e-5, 2e-3),
    "step_seconds": (5e-3, 1e-4, 5e-2),
}
"""Figures that step time decides: where the search starts, and its limits."""


def fit_profile(rows: Sequence[Row], *, gpu: str, source: str) -> Profile:
    """The profile that the rows speak for; what too few of them tell keeps its default."""
    good = [row for row in rows if row["outcome"] == "ok"]
    profile = fit_rates(good, fit_memory(good, gpu=gpu), gpu=gpu)
    found = [predict(configuration_of(row), gpu=gpu, profile=profile) for row in good]
    pairs = list(zip(good, found, strict=True))
    memory = [row["measured_allocated_bytes"] / p["predicted_allocated_bytes"] for row, p in pairs]
    held_out = held_out_seconds(good, gpu=gpu)
    time = [row["measured_seconds"] / held_out[row["name"]] for row in good]
    return replace(
        profile,
        source=source,
        num_runs=len(good),
        memory_error=max(LEAST_ERROR, rounded(pstdev(memory))),
        time_error=rounded(pstdev(time)),
    )


def fit_memory(rows: Sequence[Row], *, gpu: str) -> Profile:
    """What torch knows nothing of, and how much more it takes than it hands out."""
    alone = [row["outside_bytes"] for row in rows if row["num_gpus"] == 1]
    pairs = [row["outside_bytes"] for row in rows if row["num_gpus"] > 1]
    found: dict[str, Any] = {}
    if alone:
        found["context_bytes"] = int(median(alone))
    if alone and pairs:
        found["nccl_bytes"] = max(0, int(median(pairs) - median(alone)))
    # What checkpointing offloads is reserved for a while beyond what is allocated; the estimator counts it by itself.
    plain = [row for row in rows if not row["checkpointing"]]
    for name, kind in (
        ("reserved_ratio", [row for row in plain if row["zero_stage"] < 3 and row["strategy"] != "full"]),
        ("reserved_ratio_full", [row for row in plain if row["zero_stage"] < 3 and row["strategy"] == "full"]),
        ("reserved_ratio_zero3", [row for row in rows if row["zero_stage"] == 3]),
    ):
        if kind:
            found[name] = rounded(median(r["measured_reserved_bytes"] / r["measured_allocated_bytes"] for r in kind))
    return replace(profile_for(gpu), **found)


def fit_rates(rows: Sequence[Row], profile: Profile, *, gpu: str) -> Profile:
    """Rates by which the logarithms of measured and predicted step time are closest together."""
    concerned = {name: limits for name, limits in RATES.items() if matters(name, rows)}
    pairs = [(row["measured_seconds"], seconds_by_profile(configuration_of(row), gpu=gpu)) for row in rows]

    def loss(values: dict[str, Any]) -> float:
        tried = replace(profile, **values)
        errors = [math.log(measured / predicted(tried)) for measured, predicted in pairs]
        strange = sum(math.log(value / concerned[name][0]) ** 2 for name, value in values.items())
        return sum(huber(e) for e in errors) / len(errors) + UNLIKELY * strange

    best = search({name: limits[0] for name, limits in concerned.items()}, concerned, loss)
    found: dict[str, Any] = {name: rounded(value) for name, value in best.items()}
    return replace(profile, **found)


def matters(name: str, rows: Sequence[Row]) -> bool:
    """Whether any of the rows depends on a rate."""
    return {
        "eager_efficiency": any(row["zero_stage"] == 3 for row in rows),
        "hook_seconds": any(row["zero_stage"] == 3 for row in rows),
        "dequantise_rate": any(row["strategy"] == "qlora" for row in rows),
        "link_bandwidth": any(row["num_gpus"] > 1 for row in rows),
    }.get(name, bool(rows))


def huber(error: float) -> float:
    """The square, but growing only linearly beyond 10%: a few rows that no rate explains must not move the others."""
    return error * error if abs(error) < 0.1 else 0.2 * abs(error) - 0.01


def search(
    start: dict[str, float],
    limits: dict[str, tuple[float, float, float]],
    loss: Callable[[dict[str, Any]], float],
) -> dict[str, float]:
    """The values with the lowest loss that Hooke and Jeeves' pattern search finds, within their limits.

    One value at a time is multiplied and divided by a factor; what has helped together is then tried once more, and
    where nothing helps the factor shrinks. Step time has kinks, so gradients would not serve.
    """
    best, least, factor = dict(start), loss(start), 1.5
    while factor > 1.005:
        before = dict(best)
        for name in best:
            for times in (factor, 1 / factor):
                best, least = better_of(best, least, best | {name: best[name] * times}, limits, loss)
        if best == before:
            factor = math.sqrt(factor)
        else:
            onwards = {name: value * value / before[name] for name, value in best.items()}
            best, least = better_of(best, least, onwards, limits, loss)
    return best


def better_of(
    best: dict[str, float],
    least: float,
    tried: dict[str, float],
    limits: dict[str, tuple[float, float, float]],
    loss: Callable[[dict[str, Any]], float],
) -> tuple[dict[str, float], float]:
    """What was tried, moved to within its limits, if its loss is lower."""
    tried = {name: min(limits[name][2], max(limits[name][1], value)) for name, value in tried.items()}
    found = loss(tried)
    return (tried, found) if found < least else (best, least)


def held_out_seconds(rows: Sequence[Row], *, gpu: str) -> dict[str, float]:
    """Predicted step time of every row by the other folds' rates: row i is in fold i mod FOLDS."""
    found = {}
    for fold in range(min(FOLDS, len(rows))):
        others = [row for i, row in enumerate(rows) if i % FOLDS != fold] or list(rows)
        profile = fit_rates(others, fit_memory(others, gpu=gpu), gpu=gpu)
        for row in rows[fold::FOLDS]:
            found[row["name"]] = seconds_by_profile(configuration_of(row), gpu=gpu)(profile)
    return found


def rounded(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")
