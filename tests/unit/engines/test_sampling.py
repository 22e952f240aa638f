"""Temperature, nucleus and seed of one row's sampler."""

import math

import torch

from ray_ft.engines.transformers.decoding import Sampler

# Probabilities 0.5, 0.3, 0.15, 0.05 at ids 2, 0, 3, 1.
LOGITS = torch.tensor([math.log(0.3), math.log(0.05), math.log(0.5), math.log(0.15)])


def draw(count: int, *, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> list[int]:
    sampler = Sampler(temperature=temperature, top_p=top_p, seed=seed)
    return [sampler.next_token(LOGITS) for _ in range(count)]


def test_temperature_zero_takes_the_likeliest() -> None:
    assert draw(5, temperature=0.0) == [2] * 5


def test_draws_follow_the_probabilities() -> None:
    drawn = draw(4000)
    shares = [drawn.count(i) / 4000 for i in range(4)]
    # three standard errors of p = 0.5 with 4000 draws: 3 * sqrt(0.25 / 4000) = 0.024
    assert all(abs(share - p) < 0.024 for share, p in zip(shares, [0.3, 0.05, 0.5, 0.15], strict=True))


def test_the_nucleus_holds_the_fewest_tokens_that_reach_top_p() -> None:
    assert set(draw(500, top_p=0.5)) == {2}  # 0.5 reaches 0.5
    assert set(draw(500, top_p=0.7)) == {2, 0}  # 0.5 + 0.3 = 0.8
    assert set(draw(500, top_p=0.9)) == {2, 0, 3}  # 0.95


def test_a_tiny_top_p_still_leaves_one_token() -> None:
    assert set(draw(50, top_p=1e-9)) == {2}


def test_low_temperature_sharpens() -> None:
    # the runner-up is left with (0.3 / 0.5) ** 20 = 4e-5 of the likeliest
    assert draw(500, temperature=0.05).count(2) == 500


def test_a_seed_repeats_its_draws_and_another_does_not() -> None:
    assert draw(50, seed=1) == draw(50, seed=1)
    assert draw(50, seed=1) != draw(50, seed=2)


def test_half_precision_logits_survive_a_small_temperature() -> None:
    sampler = Sampler(temperature=0.001, top_p=1.0, seed=0)
    assert sampler.next_token((LOGITS * 100).half()) == 2
