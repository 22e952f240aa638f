"""When training stops early: sequences of validation losses worked through by hand."""

import pytest

from ray_ft.training.early_stopping import stop_reason


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "stops"),
    [
        ([], 1, 0.0, False),
        ([2.0], 1, 0.0, False),  # the first is the best so far
        ([2.0, 2.0], 1, 0.0, True),  # equal is not better
        ([2.0, 1.9, 1.8], 1, 0.0, False),
        ([2.0, 1.9, 1.95], 2, 0.0, False),
        ([2.0, 1.9, 1.95, 1.91], 2, 0.0, True),
        ([2.0, 1.9, 1.95, 1.89], 2, 0.0, False),  # better in time
        ([2.0, 1.95, 1.91], 2, 0.1, True),  # neither is more than 0.1 below 2.0
        ([2.0, 1.95, 1.89], 2, 0.1, False),  # the second is 0.11 below
        ([2.0, 1.95, 1.91, 1.89], 4, 0.1, False),
        ([1.0] * 100, None, 0.0, False),
    ],
)
def test_it_stops_after_as_many_evaluations_without_a_better_one(
    losses: list[float], patience: int | None, min_delta: float, stops: bool
) -> None:
    assert (stop_reason(losses, patience=patience, min_delta=min_delta) is not None) == stops


def test_the_reason_names_the_best_loss() -> None:
    assert stop_reason([2.0, 1.5, 1.6, 1.7], patience=2, min_delta=0.0) == (
        "stopped early: 2 evaluations did not lower the validation loss of 1.5000"
    )
    assert stop_reason([2.0, 1.99], patience=1, min_delta=0.05) == (
        "stopped early: 1 evaluation did not lower the validation loss of 2.0000 by more than 0.05"
    )


def test_a_loss_that_is_not_a_number_is_not_better() -> None:
    assert stop_reason([2.0, float("nan")], patience=1, min_delta=0.0) is not None
