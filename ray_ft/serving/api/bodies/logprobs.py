"""Log-probabilities in the two shapes of OpenAI's clients: of chats, and the older one of completions."""

import math
from collections.abc import Sequence
from typing import Any

from ray_ft.engines import TokenLogprob
from ray_ft.engines.text_stream import REPLACEMENT

LEAST = -9999.0
"""What stands for a probability of nothing, which JSON has no number for; OpenAI's own value for it."""


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """`logprobs` of a chat choice: each token with the likeliest ones in its place."""
    content = [
        _token(told.token, told.logprob) | {"top_logprobs": [_token(text, logprob) for _, text, logprob in told.top]}
        for told in tokens
    ]
    return {"content": content, "refusal": None}


def legacy_logprobs(tokens: Sequence[TokenLogprob], start: int) -> dict[str, Any]:
    """`logprobs` of a completion's choice, of whose text `start` characters have gone before.

    The chosen token is always among `top_logprobs`, which so may hold one more than was asked for.
    """
    offsets, at = [], start
    for told in tokens:
        offsets.append(at)
        at += len(told.token)
    return {
        "tokens": [told.token for told in tokens],
        "token_logprobs": [_finite(told.logprob) for told in tokens],
        "top_logprobs": [None if math.isnan(told.logprob) else _likeliest(told) for told in tokens],
        "text_offset": offsets,
    }


def _likeliest(told: TokenLogprob) -> dict[str, float | None]:
    likeliest: dict[str, float | None] = {}
    for _, text, logprob in told.top:  # of tokens that read alike the likelier one
        likeliest.setdefault(text, _finite(logprob))
    likeliest.setdefault(told.token, _finite(told.logprob))
    return likeliest


def _token(text: str, logprob: float) -> dict[str, Any]:
    """A token; without bytes where it is part of a character, which its text does not hold."""
    return {
        "token": text, "logprob": _finite(logprob), "bytes": None if REPLACEMENT in text else list(text.encode()),
    }  # fmt: skip


def _finite(logprob: float) -> float | None:
    return None if math.isnan(logprob) else max(logprob, LEAST)
