"""What every engine answers: load a base with its adapters once, then generate for any of them."""

import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol

from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import template_file_digest
from ray_ft.registry import Registry

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerateRequest:
    """One question to a loaded model. `prompt` is the finished text (chat template already applied), or its token ids.

    Special tokens that a text spells out are special tokens, except in contents of what `apply_chat_template` made.
    """

    prompt: str | tuple[int, ...]
    adapter: str | None = None  # None asks the base model
    max_new_tokens: int = 128
    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0  # nucleus: the fewest tokens that reach this probability
    top_k: int = 0  # only so many of the likeliest tokens; 0: all
    min_p: float = 0.0  # only tokens at least this likely, as a share of the likeliest
    stop: tuple[str, ...] = ()
    seed: int = 0
    repetition_penalty: float = 1.0  # divides scores of tokens in prompt and answer (arXiv 1909.05858)
    presence_penalty: float = 0.0  # taken from scores of tokens that the answer has
    frequency_penalty: float = 0.0  # the same, as often as the answer has them
    logit_bias: tuple[tuple[int, float], ...] = ()  # token id and what is added to its score
    num_logprobs: int | None = None  # log-probabilities of each token and of so many of the likeliest; None: none
    schema: str = ""  # a JSON schema, as text, that the answer keeps to
    ignore_end: bool = False  # go on to max_new_tokens, past tokens that end an answer
    is_streamed: bool = True  # False: the answer is delivered in one piece
    tenant: str = ""  # requests of different tenants, and of different adapters, wait in lines of their own
    is_background: bool = False  # waits for all that are not


@dataclass(frozen=True)
class TokenLogprob:
    """A token of an answer, its log-probability (natural, before temperature and penalties), and the likeliest ones."""

    token_id: int
    token: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()  # id, text and log-probability, the likeliest first


@dataclass(frozen=True)
class TextDelta:
    """A piece of a streamed answer; the last one carries the finish reason and the counts."""

    text: str
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0  # so far
    logprobs: tuple[TokenLogprob, ...] = ()  # of the tokens since the last piece
    token_ids: tuple[int, ...] = ()  # since the last piece


@dataclass(frozen=True)
class GenerateResult:
    """The answer to one request; `text` excludes the stop string and special tokens."""

    text: str
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] = ()
    token_ids: tuple[int, ...] = ()  # those that are text, or were until the stop string


Deliver = Callable[[TextDelta | Exception], None]
"""Gets the pieces of an answer, or the error that ends it, in a thread of the engine's; must return at once."""


@dataclass(frozen=True)
class EngineStatus:
    """How much a loaded model has to do."""

    num_running: int = 0
    num_waiting: int = 0
    adapters: tuple[str, ...] = ()
    cached_tokens: int = 0  # whose keys and values are held
    cache_tokens: int = 0  # room for so many


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


class LoadedModel(ABC):
    """A base model with adapters, ready to answer; any number of threads may ask at the same time.

    Requests that are open together share the model's passes, whichever adapters they ask for.
    """

    max_seq_len: int
    """The context, prompt and answer together, in tokens."""

    @abstractmethod
    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        """Ask, and have the answer delivered as it comes; returns what cancels it, after which nothing is delivered.

        Raises GenerationError for a request that cannot be answered; what happens later is delivered.
        """

    @abstractmethod
    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        """Sum of -ln p(token) over each text, in nats, in windows of the model's context; for bits per byte."""

    @abstractmethod
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_kwargs: Any,
    ) -> str:
        """The prompt text of a conversation, ending where the assistant's answer begins.

        Special tokens that a message spells out must be letters when it is answered (`models.chat_text.ChatText`).
        Raises GenerationError where the template refuses the messages.
        """

    @abstractmethod
    def token_ids(self, text: str) -> list[int]:
        """Ids of a text alone."""

    @abstractmethod
    def prompt_ids(self, prompt: str) -> list[int]:
        """Ids of a finished prompt as `submit` makes them, with a beginning of text where the model expects one.

        Raises GenerationError, soon, for a text that cannot be short enough for the context.
        """

    @abstractmethod
    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""

    @abstractmethod
    def load_adapter(self, name: str, folder: str) -> None:
        """Load one more adapter; others go on answering. Raises ModelError through the same gate as `Engine.load`."""

    @abstractmethod
    def unload_adapter(self, name: str) -> None:
        """Let go of an adapter: new requests do not find it, open ones end as they began. Unknown names are fine."""

    @abstractmethod
    def status(self) -> EngineStatus:
        """How much there is to do. Raises GenerationError once the model cannot answer any more."""

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory; open answers end in an error."""

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text`."""
        return len(self.token_ids(text))

    def generate(self, requests: Sequence[GenerateRequest]) -> list[GenerateResult]:
        """Answer all requests, in order; requests for different adapters may be mixed.

        Raises GenerationError for the first that cannot be answered; the others are cancelled.
        """
        ended: queue.SimpleQueue[tuple[int, TextDelta | Exception]] = queue.SimpleQueue()
        pieces: list[list[TextDelta]] = [[] for _ in requests]
        cancels: list[Callable[[], None]] = []

        def delivery(index: int) -> Deliver:
            def deliver(item: TextDelta | Exception) -> None:
                if isinstance(item, TextDelta):
                    pieces[index].append(item)
                if isinstance(item, Exception) or item.finish_reason is not None:
                    ended.put((index, item))

            return deliver

        try:
            for index, request in enumerate(requests):
                cancels.append(self.submit(replace(request, is_streamed=False), delivery(index)))
            for _ in requests:
                _, item = ended.get()
                if isinstance(item, Exception):
                    raise item
        except BaseException:
            for cancel in cancels:
                cancel()
            raise
        return [_joined(deltas) for deltas in pieces]

    def stream(self, request: GenerateRequest) -> Iterator[TextDelta]:
        """Answer one request piece by piece; the joined pieces equal `generate`'s text.

        A request that cannot be answered raises GenerationError here, before the first piece is asked for. Closing the
        iterator cancels the rest.
        """
        arrived: queue.SimpleQueue[TextDelta | Exception] = queue.SimpleQueue()
        return _until_finished(arrived, self.submit(request, arrived.put))


def _joined(deltas: Sequence[TextDelta]) -> GenerateResult:
    last = deltas[-1]
    assert last.finish_reason is not None
    return GenerateResult(
        "".join(delta.text for delta in deltas),
        last.num_prompt_tokens,
        last.num_completion_tokens,
        last.finish_reason,
        tuple(logprob for delta in deltas for logprob in delta.logprobs),
        tuple(i for delta in deltas for i in delta.token_ids),
    )


def _until_finished(
    arrived: "queue.SimpleQueue[TextDelta | Exception]", cancel: Callable[[], None]
) -> Iterator[TextDelta]:
    try:
        while True:
            item = arrived.get()
            if isinstance(item, Exception):
                raise item
            yield item
            if item.finish_reason is not None:
                return
    finally:
        cancel()


PACE = ("batch_size", "max_adapters", "max_adapter_rank", "tensor_parallel", "gpu_memory_fraction", "eager",
        "max_in_flight", "timeout_s", "max_retries", "api_key_variable")  # fmt: skip
"""Settings that change how fast an engine answers, and not what."""


@dataclass(frozen=True)
class Engine:
    """How text is generated: for making data, for evaluation and for serving."""

    name: str = ""
    """The engine's name in the registry."""

    answers: ClassVar[bool] = True
    """Whether it loads a base with adapters, to evaluate and to serve; False: it only writes data."""
    needs_weights: ClassVar[bool] = True
    """Whether it answers and writes with the base model's own weights, which it then holds on this cluster."""

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
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name not in PACE},
            "base": base_digest(model_path),
            "template": template_file_digest(model_path, chat_template),
        }

    @property
    def num_gpus(self) -> int:
        """GPUs that one loaded model takes, on a cluster that has any."""
        return 1

    def resolved(self, adapters: Mapping[str, str] | None = None, *, has_gpus: bool | None = None) -> "Engine":
        """The engine that answers with these adapters: this one, unless it stands for another; None: look for GPUs."""
        return self

    def problems(self) -> Iterator[tuple[str, object, str]]:
        """Values out of their range: key, what was given, and what would work."""
        for name, least in (("batch_size", 1), ("max_adapters", 0)):
            given = getattr(self, name, None)
            if given is not None and given < least:
                yield name, given, f"at least {least}"

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
