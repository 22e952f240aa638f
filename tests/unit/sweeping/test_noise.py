"""Tests of differences: against published tables, against evaluation's own test, and under the null."""

import numpy as np
import pytest

from ray_ft.evaluation.scores.statistics import sign_flip_p
from ray_ft.sweeping.noise import documents_p, seeds_p, studentized_range_p


@pytest.mark.parametrize(
    ("q", "num_groups", "freedom"),
    # Upper 5% points of the studentized range, as printed in tables.
    [(6.085, 2, 2), (3.877, 3, 10), (4.560, 10, 120), (5.599, 10, 10)],
)
def test_the_studentized_range_agrees_with_the_tables(q: float, num_groups: int, freedom: float) -> None:
    assert studentized_range_p(q, num_groups=num_groups, freedom=freedom, seed=0) == pytest.approx(0.05, abs=0.003)


def test_two_settings_with_equal_variances_give_the_ordinary_t_test() -> None:
    # Means 2 and 5, variances 1, n = 3: t = 3 / sqrt(2 / 3) = 3.674 on 4 degrees of freedom, two-sided p 0.0213.
    assert seeds_p([1, 2, 3], [4, 5, 6], num_settings=2, seed=0) == pytest.approx(0.0213, abs=0.002)


def test_the_same_difference_counts_less_among_more_settings() -> None:
    two, ten = (seeds_p([1, 2, 3], [4, 5, 6], num_settings=n, seed=0) for n in (2, 10))
    assert two < 0.05 < ten


def test_one_seed_shows_nothing_and_equal_seeds_with_another_mean_show_all() -> None:
    assert seeds_p([1.0], [9.0], num_settings=2, seed=0) == 1.0
    assert seeds_p([1.0, 1.0], [2.0, 2.0], num_settings=2, seed=0) == 0.0


def test_with_two_settings_documents_give_evaluations_sign_flip_test() -> None:
    scores = np.random.default_rng(1).normal([0.0, 0.4], 1.0, size=(30, 2))
    expected = sign_flip_p(scores[:, 1] - scores[:, 0], num_draws=50_000, seed=0)
    assert documents_p(scores, num_draws=50_000, seed=1)[0, 1] == pytest.approx(expected, abs=0.01)


def test_among_equal_settings_the_best_rarely_seems_better_than_the_worst() -> None:
    random = np.random.default_rng(2)
    found = 0
    for i in range(200):
        scores = random.normal(size=(20, 8))
        order = np.argsort(scores.sum(axis=0))
        found += bool(documents_p(scores, num_draws=400, seed=i)[order[0], order[-1]] <= 0.05)
    # 5% of 200 is 10, give or take 3.1; a test of the pair alone would find about half of them.
    assert found <= 20


def test_a_real_difference_is_found() -> None:
    scores = np.random.default_rng(3).normal([0.0, 0.0, 1.5], 1.0, size=(40, 3))
    p = documents_p(scores, num_draws=2_000, seed=0)
    assert p[0, 2] < 0.01
    assert p[0, 1] > 0.05
    assert p[1, 1] == 1.0
