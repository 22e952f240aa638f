"""What every engine answers: load a base with its adapters once, then generate for any of them."""

import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Protocol

from ray_ft.engines.requests import (
    Deliver,
    EngineStatus,
    GenerateRequest,
    GenerateResult,
    TextDelta,
    TokenLogprob,
    WriteRequest,
    Written,
)
from ray_ft.errors import GenerationError, first_line
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import template_file_digest
from ray_ft.registry import Registry


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
    def prompt_logprobs(
        self, prompts: Sequence[Sequence[int]], *, adapter: str | None, num_logprobs: int
    ) -> list[list[TokenLogprob]]:
        """What the model thinks of each token of prompts that it is given as ids, and of `num_logprobs` likelier ones.

        Raises GenerationError for prompts that the context cannot hold, or the vocabulary.
        """

    @abstractmethod
    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        adapter: str | None = None,
        **template_kwargs: Any,
    ) -> str:
        """The prompt text of a conversation, ending where the assistant's answer begins.

        In the base's template, unless the adapter's folder has one of its own (`models.tokenizer.TEMPLATE_FILE`).
        Special tokens that a message spells out must be letters when it is answered (`models.chat_text.ChatText`).
        Raises GenerationError where the template refuses the messages.
        """

    @abstractmethod
    def token_ids(self, text: str) -> list[int]:
        """Ids of a text alone."""

    @abstractmethod
    def prompt_ids(self, prompt: str, *, adapter: str | None = None) -> list[int]:
        """Ids of a finished prompt as `submit` makes them, with a beginning of text where the template expects one.

        Raises PromptTooLongError, soon, for a text that cannot be short enough for the context.
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

    def generate(
        self, requests: Sequence[GenerateRequest], on_result: Callable[[int, GenerateResult], None] | None = None
    ) -> list[GenerateResult]:
        """Answer all requests, in order; requests for different adapters may be mixed.

        `on_result` gets each one's place and answer as it ends, in whatever order they do. Raises GenerationError for
        the first that cannot be answered; the others are cancelled.
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
                index, item = ended.get()
                if isinstance(item, Exception):
                    raise item
                if on_result is not None:
                    on_result(index, _joined(pieces[index]))
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
        model = self.load(model_path, {}, chat_template=chat_template)
        return _ChatWriter(model, keeps_schemas=self.keeps_schemas())

    def keeps_schemas(self) -> bool:
        """Whether answers can be held to a JSON schema here."""
        return False

    def write_batch_size(self) -> int:
        """Requests that `write` wants at once."""
        return 16

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, Any]:
        """All that an answer depends on beside its request: equal identities may share answers."""
        return {
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name not in PACE},
            "base": base_digest(model_path),
            "keeps_schemas": self.keeps_schemas(),
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

    def __init__(self, model: LoadedModel, *, keeps_schemas: bool) -> None:
        self._model = model
        self._keeps_schemas = keeps_schemas

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        """Answers as they end, so that each can be kept at once."""
        ended: queue.SimpleQueue[tuple[int, TextDelta | Exception]] = queue.SimpleQueue()
        cancels = []
        try:
            for i, request in enumerate(requests):
                try:
                    cancels.append(self._model.submit(self._asked(request), partial(_put, ended, i)))
                except GenerationError as error:
                    ended.put((i, error))
            for _ in requests:
                i, item = ended.get()
                if isinstance(item, Exception) and not isinstance(item, GenerationError):
                    raise GenerationError(f"the engine failed: {first_line(item)}") from item
                yield i, Written("", str(item)) if isinstance(item, Exception) else Written(item.text)
        finally:
            for cancel in cancels:
                cancel()

    def _asked(self, request: WriteRequest) -> GenerateRequest:
        prompt = self._model.apply_chat_template(request.messages)
        if self._model.count_tokens(prompt) >= self._model.max_seq_len:
            raise GenerationError("the prompt is longer than the model's context")
        return GenerateRequest(
            prompt,
            max_new_tokens=request.max_new_tokens,
            temperature=request.temperature,
            seed=request.seed,
            schema=request.schema if self._keeps_schemas else "",
            is_streamed=False,
        )


def _put(ended: "queue.SimpleQueue[tuple[int, Any]]", index: int, item: TextDelta | Exception) -> None:
    ended.put((index, item))


ENGINES: Registry[Engine] = Registry("engine")
