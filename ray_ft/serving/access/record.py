"""What is known of the HTTP request that is being worked on: who asks, and what became of each ask."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from ray_ft.serving.access.keys import EVERYONE, ApiKey
from ray_ft.serving.adapters import Models, Restricted
from ray_ft.serving.exchange import Piece


@dataclass
class AskRecord:
    """One ask of a request: most requests have one, a comparison has several."""

    adapter: str  # empty for the base
    version: str
    n: int  # choices per prompt
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0  # of the prompt
    num_completion_tokens: int = 0
    finish: str = "cancelled"  # until it ends in another way
    opened: float = field(default_factory=time.monotonic)
    first_token: float | None = None  # of streams
    seconds_per_token: list[float] = field(default_factory=list)  # between tokens, each streamed choice's mean
    _counts: dict[int, int] = field(default_factory=dict)
    _first: dict[int, tuple[float, int]] = field(default_factory=dict)
    _finishes: set[str] = field(default_factory=set)

    def count(self, piece: Piece, *, is_streamed: bool) -> None:
        """Take in one piece; its count of completion tokens is the choice's so far."""
        now = time.monotonic()
        count = max(piece.num_completion_tokens, self._counts.get(piece.index, 0))
        self.num_completion_tokens += count - self._counts.get(piece.index, 0)
        self._counts[piece.index] = count
        if is_streamed and count:
            self.first_token = self.first_token or now
            start, tokens = self._first.setdefault(piece.index, (now, count))
            if piece.finish_reason is not None and count > tokens:
                self.seconds_per_token.append((now - start) / (count - tokens))
        if piece.finish_reason is not None:
            self._finishes.add(piece.finish_reason)
            if piece.index % self.n == 0:  # a prompt is read once for all of its choices
                self.num_prompt_tokens += piece.num_prompt_tokens
                self.num_cached_tokens += piece.num_cached_tokens

    @property
    def num_tokens(self) -> int:
        """Of prompts and answers, so far."""
        return self.num_prompt_tokens + self.num_completion_tokens

    def close(self) -> None:
        """It ended as it should: cut off if any of its choices was."""
        self.finish = "length" if "length" in self._finishes else next(iter(sorted(self._finishes)), "stop")


@dataclass
class RequestRecord:
    """One HTTP request."""

    id: str
    key: ApiKey = EVERYONE
    asks: list[AskRecord] = field(default_factory=list)
    status: int = 500  # until a response begins
    refused: str = ""  # the reason why access was refused
    retry_after: int | None = None  # seconds
    opened: float = field(default_factory=time.monotonic)


CURRENT: ContextVar[RequestRecord | None] = ContextVar("request", default=None)


def current_key() -> ApiKey:
    """Who asks."""
    record = CURRENT.get()
    return EVERYONE if record is None else record.key


def visible(models: Models) -> Models:
    """What the key of this request may know of."""
    key = current_key()
    return models if key.adapters is None else Restricted(models, key.allows)
