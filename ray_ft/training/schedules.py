"""The learning rate's shape: a linear warm-up from 0, then one of the named curves; pure arithmetic."""

import math
from collections.abc import Callable

from ray_ft.config import TrainConfig

INVERSE_SQRT_TIMESCALE = 10_000  # steps, where there is no warm-up to take it from; transformers' value


def learning_rate_factor(step: int, *, num_steps: int, train: TrainConfig) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    floor(num_steps * warmup_ratio) steps rise linearly from 0, as in transformers' schedules; after them the curve that
    `train.lr_scheduler` names goes down to `train.min_lr_ratio`.
    """
    warmup = num_warmup_steps(num_steps, train)
    if step < warmup:
        return step / warmup
    return SHAPES[train.lr_scheduler](step, warmup, num_steps, train)


def num_warmup_steps(num_steps: int, train: TrainConfig) -> int:
    """Steps in which the learning rate rises."""
    return int(num_steps * train.warmup_ratio)


def _constant(step: int, warmup: int, num_steps: int, train: TrainConfig) -> float:
    return 1.0


def _linear(step: int, warmup: int, num_steps: int, train: TrainConfig) -> float:
    return _floored(1 - _progress(step, warmup, num_steps), train.min_lr_ratio)


def _cosine(step: int, warmup: int, num_steps: int, train: TrainConfig) -> float:
    """Half a cosine (SGDR, arXiv 1608.03983, without restarts), down to `min_lr_ratio`."""
    return _floored(0.5 * (1 + math.cos(math.pi * _progress(step, warmup, num_steps))), train.min_lr_ratio)


def _wsd(step: int, warmup: int, num_steps: int, train: TrainConfig) -> float:
    """Warm-up, stable, decay (arXiv 2404.06395): constant, then 1 - sqrt over the last `decay_ratio` of the steps.

    1 - sqrt is the decay that ended lowest in arXiv 2405.18392. A stable phase can be prolonged without having been
    planned, which a cosine cannot.
    """
    decay = max(1, int(num_steps * train.decay_ratio))
    start = max(warmup, num_steps - decay)
    if step < start:
        return 1.0
    return _floored(1 - math.sqrt(_progress(step, start, num_steps)), train.min_lr_ratio)


def _inverse_sqrt(step: int, warmup: int, num_steps: int, train: TrainConfig) -> float:
    """sqrt(timescale / (step - warmup + timescale)), the timescale being the warm-up (arXiv 1706.03762; T5)."""
    timescale = warmup or INVERSE_SQRT_TIMESCALE
    return max(train.min_lr_ratio, math.sqrt(timescale / (step - warmup + timescale)))


SHAPES: dict[str, Callable[[int, int, int, TrainConfig], float]] = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
    "wsd": _wsd,
    "inverse_sqrt": _inverse_sqrt,
}


def _progress(step: int, start: int, end: int) -> float:
    """0 at `start`, 1 at `end` and after it."""
    return min(1.0, (step - start) / max(1, end - start))


def _floored(factor: float, least: float) -> float:
    """1 stays 1, and 0 becomes `least`."""
    return max(0.0, factor) * (1 - least) + least
