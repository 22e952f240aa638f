"""Response bodies of the OpenAI-style API, whole and as server-sent events."""

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ray_ft.serving.adapters import Catalogue, ServedModel
from ray_ft.serving.exchange import FinishReason, Piece
from ray_ft.serving.refusals import Refusal

DONE = "data: [DONE]\n\n"


@dataclass
class Reply:
    """What all bodies of one response share, and the counts that its usage needs."""

    model: str
    fingerprint: str
    is_chat: bool
    n: int  # choices per prompt: the prompt is counted once for all of them
    include_usage: bool = False  # of a stream: null on every chunk, then a chunk of its own
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    created: int = field(default_factory=lambda: int(time.time()))
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or ("chatcmpl-" if self.is_chat else "cmpl-") + uuid.uuid4().hex

    def count(self, piece: Piece) -> None:
        """Add a finished choice to the usage."""
        if piece.finish_reason is not None:
            self.num_completion_tokens += piece.num_completion_tokens
            self.num_prompt_tokens += piece.num_prompt_tokens if piece.index % self.n == 0 else 0

    def usage(self) -> dict[str, int]:
        """Token counts; completion tokens include the one that ended the answer."""
        return {
            "prompt_tokens": self.num_prompt_tokens,
            "completion_tokens": self.num_completion_tokens,
            "total_tokens": self.num_prompt_tokens + self.num_completion_tokens,
        }

    def whole(self, choices: list[Piece]) -> dict[str, Any]:
        """The body of a response that is not streamed; one piece holds each choice's full text."""
        for choice in choices:
            self.count(choice)
        return self._body([self._choice(choice) for choice in choices]) | {"usage": self.usage()}

    def opening(self, num_choices: int) -> list[dict[str, Any]]:
        """Chat streams open each choice with the assistant's role."""
        if not self.is_chat:
            return []
        delta = {"role": "assistant", "content": "", "refusal": None}
        return [self._chunk([_chat_delta(index, delta)]) for index in range(num_choices)]

    def chunks(self, piece: Piece) -> list[dict[str, Any]]:
        """The stream's chunks for one piece: its text, and a chunk of its own for the finish reason of a chat."""
        self.count(piece)
        if not self.is_chat:
            return [self._chunk([self._choice(piece)])]
        chunks = [self._chunk([_chat_delta(piece.index, {"content": piece.text})])] if piece.text else []
        if piece.finish_reason is not None:
            chunks.append(self._chunk([_chat_delta(piece.index, {}, piece.finish_reason)]))
        return chunks

    def usage_chunk(self) -> dict[str, Any]:
        """The extra last chunk of a stream that was asked for usage."""
        return self._chunk([]) | {"usage": self.usage()}

    def _choice(self, piece: Piece) -> dict[str, Any]:
        rest = {"index": piece.index, "logprobs": None, "finish_reason": piece.finish_reason}
        if self.is_chat:
            return {"message": {"role": "assistant", "content": piece.text, "refusal": None}} | rest
        return {"text": piece.text} | rest

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {"usage": None} if self.include_usage else {}
        return self._body(choices, suffix=".chunk" if self.is_chat else "") | usage

    def _body(self, choices: list[dict[str, Any]], *, suffix: str = "") -> dict[str, Any]:
        return {
            "id": self.id,
            "object": ("chat.completion" if self.is_chat else "text_completion") + suffix,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": self.fingerprint,
        }


def model_row(model: ServedModel, catalogue: Catalogue, *, max_seq_len: int) -> dict[str, Any]:
    """A row of GET /v1/models."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "ray_ft",
        "root": catalogue.base.id,
        "parent": model.parent,
        "max_model_len": max_seq_len,
        "ray_ft": {"kind": "base" if model.adapter is None else "adapter", "version": model.version},
    }


def event(body: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_event(refusal: Refusal) -> str:
    """The event that ends a broken stream: clients read it as an error, where a bare cut would look like an end."""
    return event(refusal.body())


def _chat_delta(index: int, delta: dict[str, Any], finish_reason: FinishReason | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
