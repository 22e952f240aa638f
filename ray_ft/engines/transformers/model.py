"""A base with its adapters, loaded and ready to answer: `LoadedModel` over the scheduler, and its tokenizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray_ft.engines.base import LoadedModel
from ray_ft.engines.prompts import Prompts
from ray_ft.engines.requests import Deliver, EngineStatus, GenerateRequest
from ray_ft.engines.text_stream import TextStream
from ray_ft.engines.transformers.adapters import read_adapter
from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.engines.transformers.grammar import Grammars
from ray_ft.engines.transformers.passes import Passes
from ray_ft.engines.transformers.rows import Row
from ray_ft.engines.transformers.sampling import Choice
from ray_ft.engines.transformers.scheduler import Scheduler
from ray_ft.errors import GenerationError

SCORING_WINDOW = 2048
"""Most tokens scored in one pass; the logits of more, over a large vocabulary, would not fit beside the weights."""


DEFAULT_ROWS = {"cpu": 16, "cuda": 128}
"""Answers that are open together where the config does not say."""


def load_model(
    model_path: str,
    adapters: Mapping[str, str],
    *,
    chat_template: str | None,
    dtype: str,
    quantization: str,
    batch_size: int | None,
    max_adapters: int,
) -> "TransformersModel":
    """Load the base, then every adapter through its gate. Raises ModelError."""
    base = load_base(model_path, dtype=dtype, quantization=quantization)
    prompts = Prompts(model_path, base.generation_config, chat_template=chat_template)
    read = [read_adapter(name, folder, base=base, model_path=model_path) for name, folder in adapters.items()]
    model = TransformersModel(base, prompts, model_path, batch_size=batch_size, max_adapters=max_adapters)
    for adapter in read:
        model.offer(adapter)
    return model


class TransformersModel(LoadedModel):
    """`LoadedModel` in this process, whose model runs in a thread of its own."""

    def __init__(
        self, base: Any, prompts: Prompts, model_path: str, *, batch_size: int | None, max_adapters: int
    ) -> None:
        config = base.config.get_text_config(decoder=True)
        self.max_seq_len = int(config.max_position_embeddings)
        max_rows = batch_size or DEFAULT_ROWS[base.device.type]
        if _depends_on_neighbours(config):
            max_rows = 1
        self._base, self._model_path = base, model_path
        self._prompts = prompts
        self._num_rows = len(base.get_input_embeddings().weight)
        self._grammars = Grammars(prompts.tokenizer, prompts.end_ids, num_tokens=self._num_rows)
        passes = Passes(base, max_rows=max_rows, max_seq_len=self.max_seq_len, model_path=model_path)
        self._scheduler = Scheduler(
            passes, max_rows=max_rows, max_adapters=max_adapters, end_ids=prompts.end_ids, decode=self.detokenize
        )
        self.offer = self._scheduler.offer

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        """Ask, and have the answer delivered as it comes; returns what cancels it."""
        return self._scheduler.add(self._row(request, deliver))

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_kwargs: Any,
    ) -> str:
        """The prompt text of a conversation, ending where the assistant's answer begins."""
        return self._prompts.render(messages, tools=tools, **template_kwargs)

    def token_ids(self, text: str) -> list[int]:
        """Ids of a prompt text."""
        return self._prompts.encode_text(text)

    def prompt_ids(self, prompt: str) -> list[int]:
        """Ids of a finished prompt, with a beginning of text where the model expects one."""
        return self._prompts.encode(prompt, longest=self.max_seq_len)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""
        return self._prompts.decode(list(ids), skip_special_tokens=False)

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        """Sum of -ln p(token) over each text, in nats.

        Every token is predicted, the first from the beginning-of-text token. A text longer than a window is scored in
        windows side by side, each starting from the last token of the one before.
        """
        window = min(self.max_seq_len, SCORING_WINDOW)
        start_id = self._prompts.document_start_id
        pieces = []
        for number, text in enumerate(texts):
            ids = ([] if start_id is None else [start_id]) + self._prompts.encode_content(text)
            pieces += [(number, ids[at : at + window + 1]) for at in range(0, len(ids) - 1, window)]
        return self._scheduler.score(pieces, num_texts=len(texts), adapter=adapter)

    def load_adapter(self, name: str, folder: str) -> None:
        """Load one more adapter; others go on answering."""
        self.offer(read_adapter(name, folder, base=self._base, model_path=self._model_path))

    def unload_adapter(self, name: str) -> None:
        """Let go of an adapter once those who ask it have their answers."""
        self._scheduler.withdraw(name)

    def status(self) -> EngineStatus:
        """How much there is to do."""
        return self._scheduler.status()

    def close(self) -> None:
        """End the thread; open answers end in an error."""
        self._scheduler.close()

    def _row(self, request: GenerateRequest, deliver: Deliver) -> Row:
        """Check a request and tokenise it."""
        self._scheduler.check_adapter(request.adapter)
        if isinstance(request.prompt, str):
            ids = self.prompt_ids(request.prompt)
        else:
            ids = list(request.prompt)
            _check_ids(ids, self._num_rows, "the prompt")
        if not ids:
            raise GenerationError("the prompt is empty; give at least one token")
        room = min(self.max_seq_len, self._scheduler.num_tokens) - len(ids)
        if room < 1:
            raise GenerationError(
                f"the prompt has {len(ids)} tokens, which leaves no room for an answer "
                f"in the model's context of {self.max_seq_len}"
            )
        if request.max_new_tokens < 1:
            raise GenerationError(f"max_new_tokens is {request.max_new_tokens}; it must be at least 1")
        _check_ids([i for i, _ in request.logit_bias], self._num_rows, "logit_bias")
        grammar = self._grammars.make(request.schema) if request.schema else None
        text = TextStream(self._prompts.decode, request.stop)
        return Row(request, ids, min(request.max_new_tokens, room), Choice(request, ids, grammar), text, deliver)


def _check_ids(ids: Sequence[int], num_tokens: int, what: str) -> None:
    if wrong := [i for i in ids if not 0 <= i < num_tokens]:
        raise GenerationError(f"{what} has token id {wrong[0]}; ids are 0 to {num_tokens - 1}")


def _depends_on_neighbours(config: Any) -> bool:
    """Rotary embeddings that stretch with the longest text of a pass: those models answer one at a time."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [parameters, *(p for p in parameters.values() if isinstance(p, dict))]
    return any(p.get("rope_type") in ("dynamic", "longrope") for p in kinds)
