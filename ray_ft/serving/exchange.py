"""What HTTP and the model's replicas hand each other, also across processes: an ask, pieces of its answer, a status."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ray_ft.engines import TokenLogprob
from ray_ft.serving.refusals import Refusal

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Ask:
    """One HTTP request as the model's replica gets it: a conversation, or finished prompts as texts or token ids.

    What the engine is to be told keeps the name that it has in `GenerateRequest`.
    """

    adapter: str | None
    messages: tuple[dict[str, Any], ...] | None
    prompts: tuple[str | tuple[int, ...], ...]
    n: int
    max_new_tokens: int | None  # None: as many as the server allows
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int
    is_streamed: bool = True
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    num_logprobs: int | None = None
    schema: str = ""
    schema_param: str = ""  # the field that the schema came from
    ignore_end: bool = False
    tenant: str = ""  # whose asks wait in one line: the id of the API key
    is_background: bool = False  # waits for all that are not
    echo: bool = False  # each choice begins with its prompt's text
    tools: tuple[dict[str, Any], ...] = ()
    must_call: bool = False  # the schema is that of calls, and the answer nothing else
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    id: str = ""  # of the reply


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants called, and its arguments as JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Piece:
    """Part of one choice's text; the choice's last piece carries its finish reason and counts."""

    index: int  # choices are numbered prompt by prompt, then sample by sample
    text: str
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    num_cached_tokens: int = 0  # of the prompt


@dataclass(frozen=True)
class Status:
    """How one copy of the model is doing."""

    max_seq_len: int  # the model's context, in tokens
    num_open: int  # answers being made or waiting to be
    num_waiting: int = 0  # of them


@dataclass(frozen=True)
class Verdict:
    """What came of loading a version of an adapter; `reason` says why it must not answer and is empty otherwise."""

    reason: str
    probe: dict[str, Any] | None
    seconds: float


class Backend(Protocol):
    """What answers: `ModelReplica` in this process, or a Ray Serve deployment of it."""

    async def status(self) -> Status:
        """How the model is doing; raises when it cannot answer."""
        ...

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        """All choices, each in one piece."""
        ...

    def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        """An empty list once the ask is accepted, then pieces as they come; or a refusal at any point."""
        ...

    async def tokenize(
        self, ask: Ask, *, add_special_tokens: bool, with_texts: bool
    ) -> list[tuple[int, str | None]] | Refusal:
        """Ids of the ask's only prompt, each with its text where that is wanted."""
        ...

    async def detokenize(self, ids: Sequence[int]) -> str | Refusal:
        """Text of ids, special tokens included."""
        ...


class AdapterBackend(Backend, Protocol):
    """A backend whose adapters come and go."""

    async def load(self, version: str) -> Verdict:
        """What comes of loading a version, on one copy of the model; the others follow by themselves."""
        ...

    async def sync(self) -> None:
        """Begin to load what is deployed now, let go of the rest."""
        ...
