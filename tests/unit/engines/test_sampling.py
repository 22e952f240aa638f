"""Temperature, nucleus and seed of one row's sampler."""

import math
from typing import Any

import pytest
import torch

from ray_ft.engines import GenerateRequest
from ray_ft.engines.transformers.sampling import Choice, choose_tokens, log_probabilities

# Probabilities 0.5, 0.3, 0.15, 0.05 at ids 2, 0, 3, 1.
LOGITS = torch.tensor([math.log(0.3), math.log(0.05), math.log(0.5), math.log(0.15)])


def draw(count: int, *, logits: torch.Tensor = LOGITS, **asked: Any) -> list[int]:
    choice = Choice(GenerateRequest("", **{"temperature": 1.0, **asked}), [])
    return [choose_tokens(logits[None], [choice])[0] for _ in range(count)]


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
    assert draw(1, logits=(LOGITS * 100).half(), temperature=0.001) == [2]


def test_top_k_leaves_the_likeliest() -> None:
    assert set(draw(500, top_k=2)) == {2, 0}


def test_min_p_leaves_what_is_likely_enough_beside_the_likeliest() -> None:
    assert set(draw(500, min_p=0.31)) == {2, 0}  # 0.15 is 0.3 of 0.5


def test_a_bias_moves_the_choice_and_penalties_take_from_what_was_said() -> None:
    assert draw(1, temperature=0.0, logit_bias=((1, 5.0),)) == [1]
    choice = Choice(GenerateRequest("", frequency_penalty=0.4), [])
    said = []
    for _ in range(3):
        said += choose_tokens(LOGITS[None], [choice])
        choice.accept(said[-1])
    # 0.5 loses 0.4 nats, becomes 0.335, still the first; then 0.225, below 0.3
    assert said == [2, 2, 0]


def test_a_repetition_penalty_counts_the_prompt() -> None:
    choice = Choice(GenerateRequest("", repetition_penalty=2.0), [2])
    assert choose_tokens(LOGITS[None], [choice]) == [0]  # ln 0.5 * 2 = ln 0.25, below 0.3


def test_rows_do_not_change_each_other() -> None:
    requests = [
        GenerateRequest("", temperature=1.0, seed=seed, top_p=top_p) for seed, top_p in [(1, 1.0), (2, 0.7), (3, 0.9)]
    ]
    alone = [choose_tokens(LOGITS[None], [Choice(r, [])])[0] for r in requests]
    assert choose_tokens(LOGITS.expand(3, -1), [Choice(r, []) for r in requests]) == alone


def test_log_probabilities_are_the_models_own_and_the_likeliest_come_first() -> None:
    choice = Choice(GenerateRequest("", temperature=2.0, num_logprobs=2), [])
    told = log_probabilities(LOGITS[None], [3], [choice], lambda ids: str(ids[0]))[0][0]
    assert (told.token_id, told.token, told.logprob) == (3, "3", pytest.approx(math.log(0.15)))
    assert [(i, text) for i, text, _ in told.top] == [(2, "2"), (0, "0")]
    assert [value for *_, value in told.top] == pytest.approx([math.log(0.5), math.log(0.3)])
