"""Bodies of the OpenAI-style API: of requests, and the `Ask` they come down to; of responses, whole and as events.

What this server cannot do is refused by name; only fields that change no answer are accepted without effect.
"""

import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from ray_ft.serving.adapters import Models, ServedModel
from ray_ft.serving.exchange import Ask, FinishReason, Piece
from ray_ft.serving.refusals import Refusal, invalid, unsupported

NO_EFFECT = frozenset({
    "user", "metadata", "store", "service_tier", "reasoning_effort", "parallel_tool_calls", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "verbosity",
})  # fmt: skip
"""Accepted and without effect: they ask nothing of the answer itself."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,), "frequency_penalty": (0,), "repetition_penalty": (1,), "logit_bias": ({},),
    "logprobs": (False,), "top_logprobs": (0,), "top_k": (0, -1), "min_p": (0,), "chat_template_kwargs": ({},),
    "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],), "function_call": ("none", "auto"),
    "modalities": (["text"],), "audio": (), "prediction": (), "web_search_options": (),
    "echo": (False,), "suffix": ("",),
}  # fmt: skip
"""Fields that are not implemented, with the values that ask for nothing."""

DONE = "data: [DONE]\n\n"
"""The last event of a stream."""

Number = Annotated[float, Field(strict=True)]


class StreamOptions(BaseModel):
    """What a stream carries beside text."""

    include_usage: StrictBool = False


class SamplingBody(BaseModel):
    """Fields that chat and completions share. Unknown ones are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow")

    model: StrictStr
    n: Annotated[StrictInt, Field(ge=1, le=8)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    stop: StrictStr | list[StrictStr] | None = None
    seed: StrictInt | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    def token_limit(self) -> int | None:
        """Most tokens the client wants; None where it says nothing."""
        return self.max_tokens

    def stop_strings(self) -> tuple[str, ...]:
        """At most four non-empty strings."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stop) > 4:
            raise invalid(f"stop: {len(stop)} strings given; at most 4 are allowed", param="stop")
        return tuple(s for s in stop if s)

    def ignored_fields(self) -> list[str]:
        """Unknown fields, to be named in a response header; raises for known ones that are not implemented."""
        if self.stream_options is not None and not self.stream:
            raise invalid("stream_options: only allowed when stream is true", param="stream_options")
        ignored = []
        for name, value in (self.model_extra or {}).items():
            if name in NEUTRAL:
                if value is not None and not any(_same(value, neutral) for neutral in NEUTRAL[name]):
                    raise unsupported(name, f"not supported by this server (given: {_short(value)}); leave it out")
            elif name not in NO_EFFECT and value is not None:
                ignored.append(name)
        return sorted(ignored)

    def ask(self, adapter: str | None, *, messages: Any, prompts: tuple[str, ...]) -> Ask:
        """What the model's replica needs. Temperature is 0 unless asked for, as in evaluation."""
        return Ask(
            adapter=adapter,
            messages=messages,
            prompts=prompts,
            n=self.n or 1,
            max_new_tokens=self.token_limit(),
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=self.stop_strings(),
            seed=secrets.randbits(31) if self.seed is None else self.seed % 2**63,
        )


class TextPart(BaseModel):
    """One part of a message's content."""

    model_config = ConfigDict(extra="allow")
    type: StrictStr
    text: StrictStr | None = None


class Message(BaseModel):
    """One turn of a conversation; `name` and other extras do not reach the prompt."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: StrictStr | list[TextPart] | None = None

    def plain(self, index: int) -> dict[str, str]:
        """Role and text as a chat template takes them."""
        where = f"messages[{index}]"
        if (self.model_extra or {}).get("tool_calls"):
            raise unsupported(f"{where}.tool_calls", "tool calls are not supported by this server")
        if self.content is None:
            raise invalid(f"{where}.content: a text is required", param=f"{where}.content")
        if isinstance(self.content, str):
            text = self.content
        else:
            others = sorted({part.type for part in self.content if part.type != "text" or part.text is None})
            if others:
                raise unsupported(f"{where}.content", f"only text parts are supported, not {', '.join(others)}")
            text = "".join(part.text or "" for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ResponseFormat(BaseModel):
    """The shape of the answer; only free text can be promised."""

    model_config = ConfigDict(extra="allow")
    type: StrictStr


class ChatBody(SamplingBody):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    response_format: ResponseFormat | None = None

    def token_limit(self) -> int | None:
        """The newer of the two names wins."""
        return self.max_completion_tokens or self.max_tokens

    def as_ask(self, adapter: str | None) -> Ask:
        """Nothing is added to the conversation: evaluation sends its system message itself, and so must a client."""
        if self.response_format is not None and self.response_format.type != "text":
            raise unsupported("response_format", f"{self.response_format.type} cannot be enforced; only text is")
        return self.ask(adapter, messages=tuple(m.plain(i) for i, m in enumerate(self.messages)), prompts=())


class CompletionBody(SamplingBody):
    """POST /v1/completions."""

    prompt: StrictStr | list[StrictStr] | list[StrictInt] | list[list[StrictInt]]
    best_of: StrictInt | None = None

    def as_ask(self, adapter: str | None) -> Ask:
        """Prompts go to the model as they are, with no chat template."""
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise unsupported("best_of", f"{self.best_of} cannot be chosen from; leave it out")
        prompts = (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt)
        if not prompts:
            raise invalid("prompt: give at least one", param="prompt")
        texts = tuple(prompt for prompt in prompts if isinstance(prompt, str))
        if len(texts) < len(prompts):
            raise unsupported("prompt", "token ids are not supported; send text")
        return self.ask(adapter, messages=None, prompts=texts)


def user_of(body: SamplingBody) -> str | None:
    """Who a request says that it is for: an experiment gives them the same arm each time."""
    user = (body.model_extra or {}).get("user")
    return user if isinstance(user, str) else None


def _same(value: Any, neutral: Any) -> bool:
    """Equality that tells 0 from false: `logprobs: 0` asks for log-probabilities, `logprobs: false` does not."""
    return bool(value == neutral) and isinstance(value, bool) == isinstance(neutral, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


# --- responses --------------------------------------------------------------------------------------------------------


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


def event(body: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_event(refusal: Refusal) -> str:
    """The event that ends a broken stream: clients read it as an error, where a bare cut would look like an end."""
    return event(refusal.body())


def _chat_delta(index: int, delta: dict[str, Any], finish_reason: FinishReason | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
