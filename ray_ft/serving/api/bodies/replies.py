"""Bodies of responses of the OpenAI-style API, whole and as events of a stream."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray_ft.serving.adapters import Models, ServedModel
from ray_ft.serving.api.bodies.logprobs import chat_logprobs, legacy_logprobs
from ray_ft.serving.exchange import Piece, ToolCall
from ray_ft.serving.refusals import Refusal

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


@dataclass
class Reply:
    """What all bodies of one response share, and the counts that its usage needs."""

    id: str
    model: str
    fingerprint: str
    is_chat: bool
    n: int  # choices per prompt: the prompt is counted once for all of them
    include_usage: bool = False  # of a stream: null on every chunk, then a chunk of its own
    provenance: Mapping[str, Any] | None = None  # who answered, in full; tells on a stream's first and last chunk
    num_choices: int = 1
    has_logprobs: bool = False
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    created: int = field(default_factory=lambda: int(time.time()))
    _num_finished: int = 0
    _has_opened: bool = False
    _num_calls: dict[int, int] = field(default_factory=dict)  # of each choice so far
    _lengths: dict[int, int] = field(default_factory=dict)  # of each choice's text so far, for offsets

    def count(self, piece: Piece) -> None:
        """Add a finished choice to the usage."""
        if piece.finish_reason is not None:
            self._num_finished += 1
            self.num_completion_tokens += piece.num_completion_tokens
            if piece.index % self.n == 0:
                self.num_prompt_tokens += piece.num_prompt_tokens
                self.num_cached_tokens += piece.num_cached_tokens

    def usage(self) -> dict[str, Any]:
        """Token counts; completion tokens include the one that ended the answer."""
        return {
            "prompt_tokens": self.num_prompt_tokens,
            "completion_tokens": self.num_completion_tokens,
            "total_tokens": self.num_prompt_tokens + self.num_completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.num_cached_tokens},
        }

    def whole(self, choices: list[Piece]) -> dict[str, Any]:
        """The body of a response that is not streamed; one piece holds each choice's full text."""
        for choice in choices:
            self.count(choice)
        body = self._body([self._message(c) if self.is_chat else self._text(c) for c in choices])
        return body | {"usage": self.usage()} | self._provenance()

    def opening(self, num_choices: int) -> list[dict[str, Any]]:
        """Chat streams open each choice with the assistant's role."""
        self.num_choices = num_choices
        if not self.is_chat:
            return []
        delta = {"role": "assistant", "content": "", "refusal": None}
        return [self._chunk([_delta(index, delta)]) for index in range(num_choices)]

    def chunks(self, piece: Piece) -> list[dict[str, Any]]:
        """The stream's chunks for one piece: its text, and a chunk of its own for the finish reason of a chat."""
        self.count(piece)
        if not self.is_chat:
            return [self._chunk([self._text(piece)])]
        chunks = []
        deltas: list[dict[str, Any]] = [{"tool_calls": self._calls(piece)}] if piece.tool_calls else []
        if piece.text or (piece.logprobs and not deltas):
            deltas.insert(0, {"content": piece.text})
        logprobs = chat_logprobs(piece.logprobs) if self.has_logprobs and piece.logprobs else None
        for delta in deltas:
            chunks.append(self._chunk([_delta(piece.index, delta, logprobs=logprobs)]))
            logprobs = None
        if piece.finish_reason is not None:
            chunks.append(self._chunk([_delta(piece.index, {}, piece.finish_reason)], is_last=self._has_ended()))
        return chunks

    def usage_chunk(self) -> dict[str, Any]:
        """The extra last chunk of a stream that was asked for usage."""
        return self._body([], suffix=self._suffix()) | {"usage": self.usage()} | self._provenance()

    def _message(self, piece: Piece) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": piece.text, "refusal": None}
        if piece.tool_calls:
            message |= {"content": piece.text or None, "tool_calls": [_call(call) for call in piece.tool_calls]}
        logprobs = chat_logprobs(piece.logprobs) if self.has_logprobs else None
        return {
            "index": piece.index, "message": message, "logprobs": logprobs, "finish_reason": piece.finish_reason,
        }  # fmt: skip

    def _text(self, piece: Piece) -> dict[str, Any]:
        start = self._lengths.get(piece.index, 0)
        self._lengths[piece.index] = start + len(piece.text)
        logprobs = legacy_logprobs(piece.logprobs, start) if self.has_logprobs else None
        return {
            "index": piece.index, "text": piece.text, "logprobs": logprobs, "finish_reason": piece.finish_reason,
        }  # fmt: skip

    def _calls(self, piece: Piece) -> list[dict[str, Any]]:
        first = self._num_calls.get(piece.index, 0)
        self._num_calls[piece.index] = first + len(piece.tool_calls)
        return [{"index": first + number, **_call(call)} for number, call in enumerate(piece.tool_calls)]

    def _has_ended(self) -> bool:
        return self._num_finished >= self.num_choices and not self.include_usage

    def _chunk(self, choices: list[dict[str, Any]], *, is_last: bool | None = None) -> dict[str, Any]:
        usage = {"usage": None} if self.include_usage else {}
        is_last = self._has_ended() and not self.is_chat if is_last is None else is_last
        told = self._provenance() if is_last or not self._has_opened else {}
        self._has_opened = True
        return self._body(choices, suffix=self._suffix()) | usage | told

    def _suffix(self) -> str:
        return ".chunk" if self.is_chat else ""

    def _provenance(self) -> dict[str, Any]:
        return {} if self.provenance is None else {"ray_ft": dict(self.provenance)}

    def _body(self, choices: list[dict[str, Any]], *, suffix: str = "") -> dict[str, Any]:
        return {
            "id": self.id,
            "object": ("chat.completion" if self.is_chat else "text_completion") + suffix,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "system_fingerprint": self.fingerprint,
        }


def provenance(model: ServedModel, catalogue: Models, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Who answers: the adapter and its version, the base and its version, and the engine's name and number format.

    Where they are known, also the run and step that made the version, the chat template of its own, and the experiment
    that chose it.
    """
    known = {name: model.about.get(name) for name in ("run", "step", "chat_template", "experiment", "arm")}
    return {
        "adapter": None if model.adapter is None else model.id,
        "version": model.version,
        "base": catalogue.base.id,
        "base_version": catalogue.base.version,
        **{name: value for name, value in known.items() if value is not None},
        **engine,
    }


def model_row(model: ServedModel, catalogue: Models, *, max_seq_len: int) -> dict[str, Any]:
    """A row of GET /v1/models."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "ray_ft",
        "root": catalogue.base.id,
        "parent": model.parent,
        "max_model_len": max_seq_len,
        "ray_ft": {"kind": "base" if model.adapter is None else "adapter", "version": model.version, **model.about},
    }


def json_bytes(body: Any) -> bytes:
    """JSON, which is valid also where a text holds half of a surrogate pair."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def event(body: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % json_bytes(body)


def error_event(refusal: Refusal) -> bytes:
    """The event that ends a broken stream: clients read it as an error, where a bare cut would look like an end."""
    return event(refusal.body())


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _delta(
    index: int, delta: dict[str, Any], finish_reason: str | None = None, *, logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
