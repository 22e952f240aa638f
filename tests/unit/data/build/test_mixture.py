"""Weights: how often an epoch shows an example, by lot but always the same."""

import pytest

from ray_ft.artifacts import Share
from ray_ft.data.build.mixture import Mixture, num_repeats


@pytest.mark.parametrize(("weight", "allowed"), [(1.0, {1}), (2.0, {2}), (0.5, {0, 1}), (2.25, {2, 3})])
def test_an_example_is_shown_as_often_as_its_weight_says(weight: float, allowed: set[int]) -> None:
    drawn = [num_repeats(weight, f"example {i}", seed=0) for i in range(4000)]
    assert set(drawn) == allowed
    # The share of n draws with chance p is off by at most 4 standard errors: 4 sqrt(0.25 / 4000) = 0.032.
    assert sum(drawn) / len(drawn) == pytest.approx(weight, abs=0.032)


def test_the_lot_depends_on_the_example_and_the_seed_alone() -> None:
    first = [num_repeats(0.5, f"example {i}", seed=0) for i in range(100)]
    assert first == [num_repeats(0.5, f"example {i}", seed=0) for i in range(100)]
    assert first != [num_repeats(0.5, f"example {i}", seed=1) for i in range(100)]


def test_raising_a_weight_keeps_what_was_drawn() -> None:
    for i in range(200):
        assert num_repeats(0.3, f"example {i}", seed=0) <= num_repeats(0.6, f"example {i}", seed=0)


def test_the_account_sums_over_groups() -> None:
    one, two = Mixture(), Mixture()
    one.count("a.jsonl", weight=2.0, repeats=2, num_tokens=10, num_target_tokens=4)
    two.count("a.jsonl", weight=2.0, repeats=2, num_tokens=1, num_target_tokens=1)
    two.count("qa", weight=0.5, repeats=0, num_tokens=7, num_target_tokens=3)
    one.add(two)
    assert one.shares == {"a.jsonl": Share(2.0, 2, 4, 22, 10), "qa": Share(0.5, 1, 0, 0, 0)}
