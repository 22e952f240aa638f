"""How much may be asked at once and over time, by all together and by one key; it counts answers and tokens.

What an ask may cost is taken when it comes in and settled when it has ended, so that asks at once cannot overdraw.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

from ray_ft.serving.access.keys import ApiKey
from ray_ft.serving.exchange import Ask
from ray_ft.serving.refusals import Refusal

BYTES_PER_TOKEN = 4
"""Of text that has not been tokenised yet: what a prompt costs until its tokens are known."""
RETRY_AFTER = 1
"""Seconds after which room may be there again, where only the end of other answers can make it."""


@dataclass(frozen=True)
class Cost:
    """What one ask takes."""

    num_answers: int
    num_tokens: int  # of its prompts, estimated, and at most of its answers


def cost_of(ask: Ask, *, max_new_tokens: int) -> Cost:
    """An ask's cost before it is answered; `max_new_tokens` is what an answer may have when the ask names no limit."""
    if ask.messages is not None:
        sizes = [sum(_num_tokens(str(value)) for message in ask.messages for value in message.values())]
        sizes[0] += _num_tokens(str(ask.tools)) if ask.tools else 0
    else:
        sizes = [_num_tokens(prompt) for prompt in ask.prompts]
    num_answers = ask.n * max(len(sizes), 1)
    longest = max_new_tokens if ask.max_new_tokens is None else ask.max_new_tokens
    return Cost(num_answers, sum(sizes) + num_answers * longest)


def _num_tokens(prompt: "str | tuple[int, ...]") -> int:
    if isinstance(prompt, str):
        return math.ceil(len(prompt.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)
    return len(prompt)


class Bucket:
    """Tokens that flow back evenly: `capacity` of them every `seconds`."""

    def __init__(self, capacity: int, seconds: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._rate = capacity / seconds
        self._clock = clock
        self._level = float(capacity)
        self._filled = clock()

    def wait(self, wanted: int) -> float:
        """Seconds until `wanted` tokens are there, 0 when they are; a full bucket is enough for anything."""
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled) * self._rate)
        self._filled = now
        return max(0.0, (min(wanted, self._capacity) - self._level) / self._rate)

    def take(self, count: int) -> None:
        """Take tokens, or give them back where negative; the level may fall below nothing."""
        self._level = min(self._capacity, self._level - count)


@dataclass
class _Use:
    """What one key has open, and what is left of its quotas."""

    buckets: list[tuple[str, Bucket]]
    num_answers: int = 0


@dataclass(frozen=True)
class TooMuch:
    """Why an ask has to wait or to change."""

    refusal: Refusal
    retry_after: int | None = None  # seconds


@dataclass
class Limits:
    """Takes asks in, or says why not. Counts are this process's own."""

    max_open: int  # answers, of all keys together
    max_open_tokens: int
    clock: Callable[[], float] = time.monotonic
    num_answers: int = 0
    num_tokens: int = 0
    _uses: dict[ApiKey, _Use] = field(default_factory=dict)

    def admit(self, key: ApiKey, cost: Cost) -> "TooMuch | Admission":
        """Room for an ask, to be given back on exit; or why there is none."""
        for count, most, what in (
            (cost.num_answers, self.max_open, "answers"),
            (cost.num_answers, key.max_concurrent, "answers"),
            (cost.num_tokens, self.max_open_tokens, "tokens, of prompts and answers,"),
        ):
            if most is not None and count > most:
                message = f"the request asks for {count} {what} at once; at most {most} are allowed, so split it"
                return TooMuch(Refusal(400, message, code="request_too_large"))
        use = self._use(key)
        if key.max_concurrent is not None and use.num_answers + cost.num_answers > key.max_concurrent:
            return _limited(f"this key has {use.num_answers} answers open; at most {key.max_concurrent}", RETRY_AFTER)
        for name, bucket in use.buckets:
            seconds = bucket.wait(cost.num_tokens)
            if seconds > 0:
                return _limited(f"this key's {name} are used up", math.ceil(seconds))
        if (
            self.num_answers + cost.num_answers > self.max_open
            or self.num_tokens + cost.num_tokens > self.max_open_tokens
        ):
            message = f"{self.num_answers} answers are open and there is no room for more; try again shortly"
            return TooMuch(Refusal(429, message, code="queue_full"), RETRY_AFTER)
        return Admission(self, use, cost)

    def _use(self, key: ApiKey) -> _Use:
        if key not in self._uses:
            quotas = (("tokens per minute", key.tokens_per_minute, 60), ("tokens per day", key.tokens_per_day, 86_400))
            buckets = [(name, Bucket(most, s, self.clock)) for name, most, s in quotas if most is not None]
            self._uses[key] = _Use(buckets)
        return self._uses[key]


class Admission(AbstractContextManager["Admission"]):
    """An ask that was let in: holds its room until it ends, then pays for what it used."""

    def __init__(self, limits: Limits, use: _Use, cost: Cost) -> None:
        self._limits, self._use, self._cost = limits, use, cost
        self.num_used: int | None = None
        """Tokens of prompts and answers; None, where no count came back: as much as was taken."""
        self._move(1)
        for _, bucket in use.buckets:
            bucket.take(cost.num_tokens)

    def _move(self, sign: int) -> None:
        self._limits.num_answers += sign * self._cost.num_answers
        self._limits.num_tokens += sign * self._cost.num_tokens
        self._use.num_answers += sign * self._cost.num_answers

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._move(-1)
        if self.num_used is not None:
            for _, bucket in self._use.buckets:
                bucket.take(self.num_used - self._cost.num_tokens)


def _limited(message: str, seconds: int) -> TooMuch:
    refusal = Refusal(429, f"{message}; try again in {seconds} s", code="rate_limit_exceeded")
    return TooMuch(refusal, seconds)
