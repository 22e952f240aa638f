"""Limits count answers and tokens, let nobody overdraw by asking at once, and give back what was not used."""

from typing import Any

import pytest

from ray_ft.serving.access.keys import EVERYONE, ApiKey
from ray_ft.serving.access.limits import Admission, Cost, Limits, TooMuch, cost_of
from ray_ft.serving.exchange import Ask


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits(clock: Clock, max_open: int = 100, max_open_tokens: int = 10_000) -> Limits:
    return Limits(max_open, max_open_tokens, clock)


def admitted(limits: Limits, key: ApiKey, num_answers: int, num_tokens: int) -> Admission:
    found = limits.admit(key, Cost(num_answers, num_tokens))
    assert isinstance(found, Admission)
    return found


def refused(limits: Limits, key: ApiKey, num_answers: int, num_tokens: int) -> TooMuch:
    found = limits.admit(key, Cost(num_answers, num_tokens))
    assert isinstance(found, TooMuch)
    return found


def ask(**fields: Any) -> Ask:
    given: dict[str, Any] = {
        "adapter": None, "messages": None, "prompts": (), "n": 1, "max_new_tokens": None, "temperature": 0.0,
        "top_p": 1.0, "stop": (), "seed": 0,
    }  # fmt: skip
    return Ask(**given | fields)


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"prompts": ("12345678", "1234")}, Cost(2, 2 + 1 + 2 * 50)),
        ({"prompts": ("1234",), "n": 3, "max_new_tokens": 7}, Cost(3, 1 + 3 * 7)),
        ({"messages": ({"role": "user", "content": "日本\ud800"},)}, Cost(1, 1 + 3 + 50)),
        ({"prompts": ((1, 2, 3), (4,))}, Cost(2, 4 + 100)),
        ({"prompts": ("",) * 20_000, "n": 8}, Cost(160_000, 160_000 * 50)),
    ],
)
def test_a_cost_counts_every_choice_of_every_prompt(fields: dict[str, Any], cost: Cost) -> None:
    assert cost_of(ask(**fields), max_new_tokens=50) == cost


def test_the_endpoint_is_full_by_answers_or_by_tokens_whoever_asks(clock: Clock) -> None:
    server = limits(clock, max_open=3, max_open_tokens=100)
    with admitted(server, EVERYONE, 2, 40):
        for num_answers, num_tokens in ((2, 10), (1, 61)):
            found = refused(server, ApiKey("one"), num_answers, num_tokens)
            assert (found.refusal.status, found.refusal.code, found.retry_after) == (429, "queue_full", 1)
        with admitted(server, ApiKey("one"), 1, 60):
            pass
    with admitted(server, EVERYONE, 3, 100):
        pass
    assert (server.num_answers, server.num_tokens) == (0, 0)


@pytest.mark.parametrize(("num_answers", "num_tokens"), [(4, 4), (1, 101)])
def test_what_can_never_fit_is_no_matter_of_waiting(clock: Clock, num_answers: int, num_tokens: int) -> None:
    found = refused(limits(clock, max_open=3, max_open_tokens=100), EVERYONE, num_answers, num_tokens)
    assert (found.refusal.status, found.refusal.code) == (400, "request_too_large")
    assert "at most" in found.refusal.message


def test_a_keys_answers_are_its_own(clock: Clock) -> None:
    server, one = limits(clock), ApiKey("one", max_concurrent=2)
    assert refused(server, one, 3, 3).refusal.status == 400
    with admitted(server, one, 2, 2):
        found = refused(server, one, 1, 1)
        assert (found.refusal.status, found.refusal.code, found.retry_after) == (429, "rate_limit_exceeded", 1)
        with admitted(server, ApiKey("two", max_concurrent=2), 2, 2):
            pass
    with admitted(server, one, 2, 2):
        pass


def test_tokens_flow_back_and_the_wait_is_told(clock: Clock) -> None:
    server, key = limits(clock), ApiKey("one", tokens_per_minute=600)
    with admitted(server, key, 1, 500) as admission:
        assert refused(server, key, 1, 200).retry_after == 10  # what may be used is taken at once
        admission.num_used = 450
    found = refused(server, key, 1, 200)
    assert (found.refusal.code, found.retry_after) == ("rate_limit_exceeded", 5)
    assert "tokens per minute" in found.refusal.message
    clock.now = 5.0
    with admitted(server, key, 1, 200):
        pass


def test_the_day_has_a_quota_of_its_own(clock: Clock) -> None:
    server, key = limits(clock), ApiKey("one", tokens_per_minute=1000, tokens_per_day=864)
    with admitted(server, key, 1, 864) as admission:
        admission.num_used = 864
    clock.now = 60.0
    found = refused(server, key, 1, 1)
    assert "tokens per day" in found.refusal.message
    assert found.retry_after == 40
    clock.now = 100.0
    with admitted(server, key, 1, 1):
        pass


def test_a_request_above_the_quota_is_let_in_when_all_of_it_is_there_and_then_paid_for(clock: Clock) -> None:
    server, key = limits(clock), ApiKey("one", tokens_per_minute=60)
    with admitted(server, key, 1, 500) as admission:
        admission.num_used = 120
    assert refused(server, key, 1, 1).retry_after == 61
    clock.now = 61.0
    with admitted(server, key, 1, 1):
        pass


def test_what_came_back_without_a_count_is_paid_as_taken(clock: Clock) -> None:
    server, key = limits(clock), ApiKey("one", tokens_per_minute=60)
    with admitted(server, key, 1, 60):
        pass
    assert refused(server, key, 1, 1).retry_after == 1
    assert refused(server, key, 1, 60).retry_after == 60
