"""Bootstrap, tests of difference and of equivalence, Holm, verdicts: by hand where a pencil can, else by simulation."""

import numpy as np
import pytest

from ray_ft.evaluation.scores.statistics import (
    Draws,
    adjusted,
    bootstrap_ratios,
    decide,
    fewest_documents,
    holm,
    num_more_needed,
    sign_flip_p,
    sum_by_document,
)


def test_values_are_summed_by_document_in_sorted_order() -> None:
    sums, counts = sum_by_document([1.0, 2.0, 4.0], ["b", "a", "b"])
    assert sums.tolist() == [2.0, 5.0]
    assert counts.tolist() == [1.0, 2.0]


def draws_of(values: np.ndarray, *, num_draws: int = 4000, seed: int = 0) -> Draws:
    return bootstrap_ratios(values[:, None], np.ones(len(values)), num_draws=num_draws, seed=seed)[0]


def test_the_bootstrap_of_one_value_is_that_value_beside_the_unasked_document() -> None:
    (draws,) = bootstrap_ratios(np.full((7, 1), 3.0), np.full(7, 2.0), num_draws=50, seed=0)
    assert np.allclose(draws.ratios + 1.5 * draws.unasked, 1.5)


def test_the_bootstrap_error_agrees_with_the_formula() -> None:
    # Means of n independent values: standard error = population standard deviation / sqrt(n).
    values = np.random.default_rng(1).normal(size=200)
    spread = draws_of(values).interval(0.0, 0.0)
    assert spread.standard_error == pytest.approx(values.std() / np.sqrt(200), rel=0.05)


def test_the_same_seed_draws_the_same() -> None:
    values = np.arange(10.0)
    first, again, other = (draws_of(values, num_draws=20, seed=s).ratios for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_all_columns_share_their_draws() -> None:
    column = np.random.default_rng(0).random(9)
    low, high = bootstrap_ratios(np.stack([column, column + 0.25], axis=1), np.ones(9), num_draws=100, seed=0)
    difference = high - low
    assert np.allclose(difference.ratios + 0.25 * difference.unasked, 0.25)


def test_chunks_change_no_draw_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.evaluation.scores.statistics.CHUNK", 25)
    (draws,) = bootstrap_ratios(np.ones((10, 1)), np.ones(10), num_draws=7, seed=0)
    assert draws.ratios.shape == draws.unasked.shape == (7,)


@pytest.mark.parametrize(("right", "of"), [(0, 20), (3, 20), (20, 20)])
def test_for_scores_of_0_and_1_the_interval_is_clopper_and_pearsons(right: int, of: int) -> None:
    # Its ends are quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k): 0 to 0.168, 0.032 to 0.379, 0.832 to 1.
    spread = draws_of(np.array([1.0] * right + [0.0] * (of - right)), num_draws=40_000).interval(0.0, 1.0)
    low, high = {0: (0.0, 0.1684), 3: (0.0321, 0.3789), 20: (0.8316, 1.0)}[right]
    assert (spread.low, spread.high) == (pytest.approx(low, abs=0.004), pytest.approx(high, abs=0.006))


def test_the_interval_of_equal_answers_does_not_collapse() -> None:
    # Both ends leave 2.5% for the share w of the unasked document: (1 - w)^6 = 0.025, w = 0.459.
    spread = draws_of(np.zeros(6), num_draws=40_000).interval(-1.0, 1.0)
    assert (spread.low, spread.high) == (pytest.approx(-0.459, abs=0.012), pytest.approx(0.459, abs=0.012))
    assert spread.standard_error > 0.1


def test_equal_answers_are_equivalent_as_far_as_their_number_goes() -> None:
    # With a difference on one document in ten, D of them are alike by chance in 0.9^D: 0.53 of 6, 0.0424 of 30.
    few, more = (draws_of(np.zeros(n), num_draws=40_000).equivalence_p(margin=0.1, worst=1.0) for n in (6, 30))
    assert few == pytest.approx(0.9**6, abs=0.01)
    assert more == pytest.approx(0.9**30, abs=0.005)
    assert draws_of(np.zeros(500)).equivalence_p(margin=0.0, worst=1.0) == 1.0


def test_the_fewest_documents_by_hand() -> None:
    # 0.98^183 = 0.0248 and 0.98^182 = 0.0253, beside the interval's 2.5%; six contrasts: 0.98^237 = 0.0083 = 0.05 / 6
    assert fewest_documents(0.02) == 183
    assert fewest_documents(0.02, num_contrasts=6) == 237
    assert fewest_documents(0.5) == 6  # 0.5^6 = 0.0156
    assert fewest_documents(1.0) == 6
    assert fewest_documents(0.0) is None


def false_equivalence(num_documents: int, discordance: float, correlation: float, *, num_exams: int = 400) -> float:
    """Share of exams that claim equivalence within 10 points where the true gain is 10: five questions a document."""
    rng = np.random.default_rng(0)
    shape = (num_exams, num_documents, 5)
    lot = np.where(rng.random(shape) < correlation**0.5, rng.random((*shape[:2], 1)), rng.random(shape))
    differences = np.where(lot < (discordance + 0.1) / 2, 1.0, np.where(lot < discordance, -1.0, 0.0)).sum(axis=2)
    weights = np.full(num_documents, 5.0)
    claims = 0
    for draws in bootstrap_ratios(differences.T, weights, num_draws=1000, seed=1):
        spread = draws.interval(-1.0, 1.0)
        verdict = decide(
            difference=0.0, low=spread.low, high=spread.high, p_value=1.0, margin=0.1, num_documents=num_documents,
            p_equivalence=draws.equivalence_p(margin=0.1, worst=1.0),
        )  # fmt: skip
        claims += verdict == "no meaningful difference"
    return claims / num_exams


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("discordance", [0.1, 0.3])
@pytest.mark.parametrize("num_documents", [6, 40, 100])
def test_a_gain_as_large_as_the_margin_is_seldom_called_none(
    num_documents: int, discordance: float, correlation: float
) -> None:
    # At most 5%. The bootstrap without an unasked document says so in 51% of exams of 6 fully correlated documents.
    assert false_equivalence(num_documents, discordance, correlation) <= 0.05


def coverage(*, by_document: bool, num_exams: int = 600) -> float:
    """Share of simulated exams whose 95% interval holds the true mean 0: 40 documents of 5 correlated questions."""
    rng = np.random.default_rng(0)
    hits = 0
    for exam in range(num_exams):
        values = rng.normal(size=(40, 1)) + rng.normal(size=(40, 5))  # half of the variance is the document's
        rows = values.sum(axis=1) if by_document else values.ravel()
        weight = 5.0 if by_document else 1.0
        (draws,) = bootstrap_ratios(rows[:, None], np.full(len(rows), weight), num_draws=300, seed=1000 + exam)
        spread = draws.interval(0.0, 0.0)
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


def test_both_tests_of_a_contrast_are_adjusted_beside_the_others_weaker_ones() -> None:
    # (0.01, 1): 0.01 beside 0.9 and 0.3 is the smallest of three, 0.03. (0.9, 0.02) beside 1 and 0.3: 0.06.
    # (0.3, 0.3) beside 1 and 0.9: 0.9.
    first, second, third = adjusted([(0.01, 1.0), (0.9, 0.02), (0.3, 0.3)])
    assert first == pytest.approx((0.03, 1.0))
    assert second == pytest.approx((1.0, 0.06))
    assert third == pytest.approx((0.9, 0.9))
    assert adjusted([]) == []
    assert adjusted([(0.04, 0.5)]) == [(0.04, 0.5)]


@pytest.mark.parametrize(
    ("low", "high", "p_value", "p_equivalence", "verdict"),
    [
        (0.03, 0.10, 0.01, 1.0, "better"),
        (-0.10, -0.03, 0.01, 1.0, "worse"),
        (-0.01, 0.015, 0.6, 0.03, "no meaningful difference"),
        (0.005, 0.015, 0.001, 0.01, "no meaningful difference"),  # real, and too small to matter
        (-0.01, 0.015, 0.6, 0.06, "undecided"),  # the adjusted p holds it back
        (-0.01, 0.025, 0.6, 0.04, "undecided"),  # the interval reaches beyond the margin
        (-0.05, 0.20, 0.2, 1.0, "undecided"),
        (0.01, 0.20, 0.06, 1.0, "undecided"),  # the adjusted p holds it back
        (-0.05, 0.30, 0.01, 1.0, "better"),  # the interval allows for what nobody asked about
    ],
)
def test_verdicts(low: float, high: float, p_value: float, p_equivalence: float, verdict: str) -> None:
    found = decide(
        difference=(low + high) / 2, low=low, high=high, p_value=p_value, p_equivalence=p_equivalence, margin=0.02,
        num_documents=30,
    )  # fmt: skip
    assert found == verdict


def test_less_is_better_where_lower_is() -> None:
    verdict = decide(
        difference=-0.2, low=-0.3, high=-0.1, p_value=0.01, p_equivalence=1.0, margin=0.02, num_documents=30,
        higher_is_better=False,
    )  # fmt: skip
    assert verdict == "better"


def test_five_documents_decide_nothing() -> None:
    values = {"difference": 0.005, "low": 0.0, "high": 0.01, "p_value": 0.0, "p_equivalence": 0.0, "margin": 0.02}
    assert decide(**values, num_documents=5) == "undecided"  # type: ignore[arg-type]


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


def test_equal_answers_need_as_many_documents_as_can_show_it() -> None:
    # 183 documents of 2 questions each, 20 of which are there
    assert num_more_needed(difference=0.0, standard_error=0.0, margin=0.02, num_items=40, num_documents=20) == 326


def test_few_documents_need_at_least_as_many_as_the_test_can_use() -> None:
    # 2 / 2^D <= 0.05 needs D >= 1 + log2 20 = 5.3, so 6 documents: beside 3 of 4 questions each, 12 more questions.
    assert num_more_needed(difference=0.9, standard_error=0.0, margin=0.02, num_items=12, num_documents=3) == 12
