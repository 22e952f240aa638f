"""One answer on its way: its tokens, where they lie in the cache, and when they become text."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ray_ft.engines.requests import Deliver, FinishReason, GenerateRequest, TextDelta, TokenLogprob
from ray_ft.engines.text_stream import SECONDS_BETWEEN_PIECES, TextStream
from ray_ft.engines.transformers.sampling import Choice


@dataclass(eq=False)
class Row:
    """An answer from the moment it was asked for; `tokens` are prompt and answer."""

    request: GenerateRequest
    tokens: list[int]
    max_new_tokens: int
    choice: Choice
    text: TextStream
    deliver: Deliver
    end_ids: frozenset[int]
    num_prompt_tokens: int = 0
    num_cached: int = 0  # tokens whose keys and values are held
    num_reused: int = 0  # of them, those that came from another text
    start: int = -1  # first place in the cache
    cancelled: threading.Event = field(default_factory=threading.Event)
    _unread: list[int] = field(default_factory=list)  # tokens that are no text yet
    _logprobs: list[TokenLogprob] = field(default_factory=list)
    _text: str = ""  # that is not delivered yet, nor its tokens' ids
    _ids: list[int] = field(default_factory=list)
    _delivered_at: float = 0.0
    _has_delivered: bool = False

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.tokens)

    @property
    def num_new(self) -> int:
        """Tokens of the answer so far, the ending one included."""
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def num_places(self) -> int:
        """Places in the cache that the answer needs at most; its last token is never read."""
        return self.num_prompt_tokens + self.max_new_tokens - 1

    def accept(self, token: int, logprobs: Sequence[TokenLogprob]) -> bool:
        """Go on with a token, deliver what is due; True once the answer has ended."""
        self.choice.accept(token)
        self.tokens.append(token)
        self._logprobs += logprobs
        reason: FinishReason | None = None
        if token in self.end_ids and not self.request.ignore_end:
            reason = "stop"
        else:
            self._unread.append(token)
        if reason is None and self.num_new >= self.max_new_tokens:
            reason = "length"
        is_due = reason is not None or (self.request.is_streamed and self._is_time())
        if not is_due and not self.text.has_stops:
            return False
        text = self.text.push(*self._unread) if self._unread else ""
        self._ids += self._unread
        self._unread = []
        if self.text.stopped:
            reason = "stop"
        elif reason is not None:
            text += self.text.finish()
            reason = "stop" if self.text.stopped else reason
        self._text += text
        if is_due or reason is not None:
            self._send(reason)
        return reason is not None

    def _send(self, reason: FinishReason | None) -> None:
        if not self._text and reason is None:
            return
        delta = TextDelta(
            self._text, reason, self.num_prompt_tokens, self.num_new, tuple(self._logprobs), tuple(self._ids),
            self.num_reused,
        )  # fmt: skip
        self._text, self._ids, self._logprobs = "", [], []
        self._has_delivered, self._delivered_at = True, time.monotonic()
        if not self.cancelled.is_set():
            self.deliver(delta)

    def _is_time(self) -> bool:
        return not self._has_delivered or time.monotonic() - self._delivered_at >= SECONDS_BETWEEN_PIECES

    def fail(self, error: Exception) -> None:
        """End the answer in an error."""
        if not self.cancelled.is_set():
            self.deliver(error)
