"""What every engine answers: load a base with its adapters once, then generate for any of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ray_ft.registry import Registry


@dataclass(frozen=True)
class GenerateRequest:
    """One question to a loaded model. `prompt` is the finished text (chat template already applied)."""

    prompt: str
    adapter: str | None = None  # None asks the base model
    max_new_tokens: int = 128
    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class GenerateResult:
    """The answer to one request; `text` excludes the stop string and special tokens."""

    text: str
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class TextDelta:
    """A piece of a streamed answer; the last one carries the finish reason and an empty or final text."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0


class LoadedModel(Protocol):
    """A base model with adapters, ready to answer.

    Not thread-safe: one caller at a time. One thread may hold several open streams and advance them in turn.
    """

    max_seq_len: int

    def generate(self, requests: list[GenerateRequest]) -> list[GenerateResult]:
        """Answer all requests, in order; requests for different adapters may be mixed."""
        ...

    def stream(self, request: GenerateRequest) -> Iterator[TextDelta]:
        """Answer one request piece by piece; the joined pieces equal `generate`'s text.

        A request that cannot be answered raises GenerationError here, before the first piece is asked for.
        """
        ...

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        """The prompt text of a conversation, ending where the assistant's answer begins."""
        ...

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text`."""
        ...

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        """Sum of -ln p(token) over each text, in nats, in windows of the model's context; for bits per byte."""
        ...


@dataclass(frozen=True)
class Engine:
    """How text is generated: for making data, for evaluation and for serving."""

    name: str = ""
    """The engine's name in the registry."""

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        """Load the base at `model_path` and the adapters `{name: folder}`.

        `chat_template` is the path of a Jinja file that replaces the tokenizer's own template. Raises ModelError when
        the base or an adapter cannot be loaded, or an adapter belongs to another base.
        """
        raise NotImplementedError

    def check_adapters(self, model_path: str, adapters: Mapping[str, str]) -> None:
        """Refuse adapters that `load` would refuse, as far as that can be known without loading the base."""


ENGINES: Registry[Engine] = Registry("engine")
