"""A worker that keeps the others waiting is named, once."""

from ray_ft.training.health.slow_ranks import SlowRanks


def after(steps: int, *seconds: float, ranks: SlowRanks | None = None) -> list[str]:
    ranks = ranks or SlowRanks()
    for _ in range(steps):
        ranks.add(seconds)
    return ranks.take_warnings()


def test_a_rank_over_one_and_a_half_times_the_median_is_slow() -> None:
    assert after(5, 0.1, 0.1, 0.16) == [
        "rank 2 is slow: its passes take 160 ms, those of the median worker 100 ms",
    ]


def test_of_two_workers_the_faster_one_is_the_measure() -> None:
    assert len(after(5, 0.1, 0.16)) == 1


def test_equal_ranks_one_rank_and_few_steps_say_nothing() -> None:
    assert after(5, 0.1, 0.14) == []
    assert after(5, 0.1) == []
    assert after(4, 0.1, 0.3) == []


def test_a_slow_rank_is_named_again_only_after_it_had_caught_up() -> None:
    ranks = SlowRanks()
    assert len(after(5, 0.1, 0.3, ranks=ranks)) == 1
    assert after(5, 0.1, 0.3, ranks=ranks) == []
    assert after(5, 0.1, 0.1, ranks=ranks) == []
    assert len(after(5, 0.1, 0.3, ranks=ranks)) == 1
