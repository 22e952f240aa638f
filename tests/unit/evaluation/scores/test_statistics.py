"""Bootstrap, sign-flip test, Holm and verdicts: by hand where a pencil can, by simulation where not."""

import numpy as np
import pytest

from ray_ft.evaluation.scores.statistics import (
    bootstrap_ratios,
    decide,
    holm,
    interval,
    num_more_needed,
    sign_flip_p,
    sum_by_document,
)


def test_values_are_summed_by_document_in_sorted_order() -> None:
    sums, counts = sum_by_document([1.0, 2.0, 4.0], ["b", "a", "b"])
    assert sums.tolist() == [2.0, 5.0]
    assert counts.tolist() == [1.0, 2.0]


def test_the_bootstrap_of_one_value_is_that_value() -> None:
    draws = bootstrap_ratios(np.full((7, 1), 3.0), np.full((7, 1), 2.0), num_draws=50, seed=0)
    assert draws.tolist() == [[1.5]] * 50


def test_the_bootstrap_error_agrees_with_the_formula() -> None:
    # Means of n independent values: standard error = population standard deviation / sqrt(n).
    values = np.random.default_rng(1).normal(size=200)
    draws = bootstrap_ratios(values[:, None], np.ones((200, 1)), num_draws=4000, seed=0)[:, 0]
    assert interval(draws).standard_error == pytest.approx(values.std() / np.sqrt(200), rel=0.05)


def test_the_same_seed_draws_the_same() -> None:
    sums, weights = np.arange(10.0)[:, None], np.ones((10, 1))
    first, again, other = (bootstrap_ratios(sums, weights, num_draws=20, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_all_columns_share_their_draws() -> None:
    column = np.random.default_rng(0).random(9)
    draws = bootstrap_ratios(np.stack([column, column + 0.25], axis=1), np.ones((9, 1)), num_draws=100, seed=0)
    assert np.allclose(draws[:, 1] - draws[:, 0], 0.25)


def test_chunks_change_no_draw_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.evaluation.scores.statistics.CHUNK", 25)
    assert bootstrap_ratios(np.ones((10, 1)), np.ones((10, 1)), num_draws=7, seed=0).shape == (7, 1)


def coverage(*, by_document: bool, num_exams: int = 600) -> float:
    """Share of simulated exams whose 95% interval holds the true mean 0: 40 documents of 5 correlated questions."""
    rng = np.random.default_rng(0)
    hits = 0
    for exam in range(num_exams):
        values = rng.normal(size=(40, 1)) + rng.normal(size=(40, 5))  # half of the variance is the document's
        rows = values.sum(axis=1) if by_document else values.ravel()
        weight = 5.0 if by_document else 1.0
        draws = bootstrap_ratios(rows[:, None], np.full((len(rows), 1), weight), num_draws=300, seed=1000 + exam)
        spread = interval(draws[:, 0])
        hits += spread.low <= 0 <= spread.high
    return hits / num_exams


def test_intervals_over_documents_hold_the_truth_about_as_often_as_they_say() -> None:
    # 2,000 exams gave 93.6%: a percentile bootstrap over 40 documents loses a little. The standard error is 1 point.
    assert 0.90 <= coverage(by_document=True) <= 0.98


def test_intervals_over_questions_would_claim_too_much() -> None:
    # The variance of a mean is 1 + (5 - 1) * 0.5 = 3 times the naive one: coverage 2 * Phi(1.96 / sqrt 3) - 1 = 74%.
    assert coverage(by_document=False, num_exams=300) < 0.82


def test_sign_flips_are_counted_exactly_for_few_documents() -> None:
    # Of 2^3 sign patterns of (1, 2, 3), |sum| >= 6 holds for +++ and ---: 2/8.
    assert sign_flip_p(np.array([1.0, 2.0, 3.0]), num_draws=10_000, seed=0) == 0.25
    # (1, 1, -1): |sum| is 1 or 3, always >= 1.
    assert sign_flip_p(np.array([1.0, 1.0, -1.0]), num_draws=10_000, seed=0) == 1.0


def test_no_difference_at_all_has_p_one() -> None:
    assert sign_flip_p(np.zeros(30), num_draws=1000, seed=0) == 1.0


def test_sampled_sign_flips_are_never_zero_and_near_the_exact_value() -> None:
    assert sign_flip_p(np.ones(40), num_draws=999, seed=0) == pytest.approx(1 / 1000)
    differences = np.random.default_rng(3).normal(0.3, 1, size=12)
    exact = sign_flip_p(differences, num_draws=4096, seed=0)
    assert sign_flip_p(differences, num_draws=4095, seed=0) == pytest.approx(exact, abs=0.03)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 = 0.03, 0.06, 0.04, kept rising = 0.03, 0.06, 0.06.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("low", "high", "p_value", "verdict"),
    [
        (0.03, 0.10, 0.01, "better"),
        (-0.10, -0.03, 0.01, "worse"),
        (-0.01, 0.015, 0.6, "no meaningful difference"),
        (0.005, 0.015, 0.001, "no meaningful difference"),  # real, and too small to matter
        (-0.05, 0.20, 0.2, "undecided"),
        (0.01, 0.20, 0.06, "undecided"),  # the adjusted p holds it back
    ],
)
def test_verdicts(low: float, high: float, p_value: float, verdict: str) -> None:
    assert decide(low=low, high=high, p_value=p_value, margin=0.02, num_documents=30) == verdict


def test_less_is_better_where_lower_is() -> None:
    verdict = decide(low=-0.3, high=-0.1, p_value=0.01, margin=0.02, num_documents=30, higher_is_better=False)
    assert verdict == "better"


def test_five_documents_decide_nothing() -> None:
    assert decide(low=0.5, high=0.9, p_value=0.0, margin=0.02, num_documents=5) == "undecided"


def test_how_many_more_are_needed_by_hand() -> None:
    # z(0.975) + z(0.8) = 1.960 + 0.842 = 2.802; n = 100 * (2.802 * 0.05 / 0.07)^2 = 400.6 -> 401, so 301 more
    more = num_more_needed(difference=0.07, standard_error=0.05, margin=0.02, num_items=100, num_documents=100)
    assert more == 301


def test_a_difference_below_the_margin_is_planned_for_at_the_margin() -> None:
    tiny, margin = (
        num_more_needed(difference=d, standard_error=0.05, margin=0.02, num_items=100, num_documents=100)
        for d in (0.0001, 0.02)
    )
    assert tiny == margin


def test_few_documents_need_at_least_as_many_as_the_test_can_use() -> None:
    # 2 / 2^D <= 0.05 needs D >= 1 + log2 20 = 5.3, so 6 documents: beside 3 of 4 questions each, 12 more questions.
    assert num_more_needed(difference=0.9, standard_error=0.0, margin=0.02, num_items=12, num_documents=3) == 12
