"""The learning-rate curves: numbers worked out by hand, and equality with transformers' own schedules."""

from typing import Any

import pytest

from ray_ft.config import TrainConfig
from ray_ft.training.schedules import SHAPES, learning_rate_factor


@pytest.mark.parametrize(
    ("step", "shape", "least", "expected"),
    [
        (0, "cosine", 0.0, 0.0),  # 10 steps, 20% warm-up: 2 steps
        (1, "cosine", 0.0, 0.5),
        (2, "cosine", 0.0, 1.0),
        (6, "cosine", 0.0, 0.5),  # half-way through the 8 steps that follow
        (6, "cosine", 0.1, 0.55),  # 0.5 * 0.9 + 0.1
        (10, "cosine", 0.1, 0.1),
        (6, "linear", 0.0, 0.5),
        (10, "linear", 0.0, 0.0),
        (9, "constant", 0.0, 1.0),
        (5, "wsd", 0.0, 1.0),  # the last 40%, 4 steps, decay: steps 6 to 9
        (6, "wsd", 0.0, 1.0),
        (7, "wsd", 0.0, 0.5),  # 1 - sqrt(1 / 4)
        (10, "wsd", 0.2, 0.2),
        (8, "inverse_sqrt", 0.0, 0.5),  # sqrt(2 / (8 - 2 + 2))
    ],
)
def test_the_learning_rate_warms_up_and_falls(step: int, shape: Any, least: float, expected: float) -> None:
    train = TrainConfig(lr_scheduler=shape, warmup_ratio=0.2, min_lr_ratio=least, decay_ratio=0.4)
    assert learning_rate_factor(step, num_steps=10, train=train) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("least", [0.0, 0.1])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_curve_is_that_of_transformers(shape: Any, least: float) -> None:
    import torch
    from transformers import optimization as theirs

    steps, warmup = 40, 6
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule: Any = {
        "cosine": lambda: theirs.get_cosine_with_min_lr_schedule_with_warmup(
            optimizer, warmup, steps, min_lr_rate=least
        ),
        "linear": lambda: theirs.get_linear_schedule_with_warmup(optimizer, warmup, steps),
        "constant": lambda: theirs.get_constant_schedule_with_warmup(optimizer, warmup),
        "wsd": lambda: theirs.get_wsd_schedule(optimizer, warmup, 10, steps, decay_type="1-sqrt", min_lr_ratio=least),
        "inverse_sqrt": lambda: theirs.get_inverse_sqrt_schedule(optimizer, warmup),
    }[shape]()
    if least and shape in ("linear", "inverse_sqrt"):
        pytest.skip("transformers has no least learning rate for this shape")
    train = TrainConfig(lr_scheduler=shape, warmup_ratio=0.15, min_lr_ratio=least, decay_ratio=0.25)
    for step in range(steps):
        # Theirs starts the warm-up of "wsd" at the least learning rate; ours starts every shape at 0.
        if not (shape == "wsd" and least and step < warmup):
            ours = learning_rate_factor(step, num_steps=steps, train=train)
            assert ours == pytest.approx(schedule.get_last_lr()[0], abs=1e-12), step
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("shape", list(SHAPES))
def test_no_step_of_a_run_is_above_the_peak_or_below_zero(shape: Any) -> None:
    for steps in (1, 2, 7):
        train = TrainConfig(lr_scheduler=shape, warmup_ratio=0.5, decay_ratio=1.0)
        assert all(0 <= learning_rate_factor(s, num_steps=steps, train=train) <= 1 for s in range(steps + 1))
