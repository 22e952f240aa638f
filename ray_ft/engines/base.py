"""What every engine answers: load a base with its adapters once, then generate for any of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol

from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import template_file_digest
from ray_ft.registry import Registry


@dataclass(frozen=True)
class GenerateRequest:
    """One question to a loaded model. `prompt` is the finished text (chat template already applied).

    Special tokens that it spells out are special tokens, except in contents of what `apply_chat_template` made.
    """

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


@dataclass(frozen=True)
class WriteRequest:
    """What recipes ask: one message of a user, and the JSON schema that the answer should keep to, as text."""

    prompt: str
    schema: str = ""
    max_new_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Written:
    """The answer to one request; `error` says why an engine refused this one, while it answers others."""

    text: str
    error: str = ""


class Writer(Protocol):
    """An engine that is ready to write data."""

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        """Answers with the places of their requests, in the order in which they come.

        Raises GenerationError when the engine cannot go on.
        """
        ...


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
        """The prompt text of a conversation, ending where the assistant's answer begins.

        Special tokens that a message spells out must be letters when it is answered (`models.chat_text.ChatText`).
        """
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

    answers: ClassVar[bool] = True
    """Whether it loads a base with adapters, to evaluate and to serve; False: it only writes data."""
    needs_weights: ClassVar[bool] = True
    """Whether it writes data with the base model's own weights."""

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        """Load the base at `model_path` and the adapters `{name: folder}`.

        `chat_template` is the path of a Jinja file that replaces the tokenizer's own template. Raises ModelError when
        the base or an adapter cannot be loaded, or an adapter belongs to another base.
        """
        raise NotImplementedError

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> Writer:
        """Make the engine ready to write data. Raises ModelError as `load`."""
        return _ChatWriter(self.load(model_path, {}, chat_template=chat_template))

    def write_batch_size(self) -> int:
        """Requests that `write` wants at once."""
        return 16

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, Any]:
        """All that an answer depends on beside its request: equal identities may share answers."""
        return {
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name != "batch_size"},
            "base": base_digest(model_path),
            "template": template_file_digest(model_path, chat_template),
        }

    def check(self, model_path: str, adapters: Mapping[str, str]) -> None:
        """Refuse a base and adapters that `load` would refuse, as far as is known without reading the base's weights.

        Raises ModelError.
        """


class _ChatWriter:
    """Writes with a loaded model: the base, in its chat template."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        known: list[tuple[int, GenerateRequest]] = []
        for i, request in enumerate(requests):
            prompt = self._model.apply_chat_template([{"role": "user", "content": request.prompt}])
            if self._model.count_tokens(prompt) >= self._model.max_seq_len:
                yield i, Written("", "the prompt is longer than the model's context")
                continue
            asked = GenerateRequest(
                prompt,
                max_new_tokens=request.max_new_tokens,
                temperature=request.temperature,
                seed=request.seed,
            )
            known.append((i, asked))
        for (i, _), result in zip(known, self._model.generate([asked for _, asked in known]), strict=True):
            yield i, Written(result.text)


ENGINES: Registry[Engine] = Registry("engine")
