"""What HTTP and the model's replicas hand each other, also across processes: an ask, pieces of its answer, a status."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ray_ft.serving.refusals import Refusal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Ask:
    """One HTTP request as the model's replica gets it: a conversation, or finished prompts."""

    adapter: str | None
    messages: tuple[dict[str, str], ...] | None
    prompts: tuple[str, ...]
    n: int
    max_new_tokens: int | None  # None: as many as the server allows
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int
    is_streamed: bool = True
    is_background: bool = False  # waits for all that are not
    id: str = ""  # of the reply


@dataclass(frozen=True)
class Piece:
    """Part of one choice's text; the choice's last piece carries its finish reason and counts."""

    index: int  # choices are numbered prompt by prompt, then sample by sample
    text: str
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0


@dataclass(frozen=True)
class Status:
    """How one copy of the model is doing."""

    max_seq_len: int  # the model's context, in tokens
    num_open: int  # answers being made or waiting to be


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


class AdapterBackend(Backend, Protocol):
    """A backend whose adapters come and go."""

    async def load(self, version: str) -> Verdict:
        """What comes of loading a version, on one copy of the model; the others follow by themselves."""
        ...

    async def sync(self) -> None:
        """Begin to load what is deployed now, let go of the rest."""
        ...
