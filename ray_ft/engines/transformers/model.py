"""A base with its adapters, loaded and ready to answer: `LoadedModel` over the scheduler, and its tokenizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray_ft.engines.prompted import PromptedModel, check_ids
from ray_ft.engines.prompts import Prompts
from ray_ft.engines.requests import Deliver, EngineStatus, GenerateRequest, TokenLogprob
from ray_ft.engines.text_stream import TextStream
from ray_ft.engines.transformers.adapters import read_adapter
from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.engines.transformers.grammar import Grammars
from ray_ft.engines.transformers.passes import Passes
from ray_ft.engines.transformers.rows import Row
from ray_ft.engines.transformers.sampling import Choice
from ray_ft.engines.transformers.scheduler import Scheduler

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
        model.take_template(adapter.name, adapters[adapter.name])
        model.offer(adapter)
    return model


class TransformersModel(PromptedModel):
    """`LoadedModel` in this process, whose model runs in a thread of its own."""

    def __init__(
        self, base: Any, prompts: Prompts, model_path: str, *, batch_size: int | None, max_adapters: int
    ) -> None:
        config = base.config.get_text_config(decoder=True)
        max_seq_len = int(config.max_position_embeddings)
        max_rows = batch_size or DEFAULT_ROWS[base.device.type]
        if _depends_on_neighbours(config):
            max_rows = 1
        passes = Passes(base, max_rows=max_rows, max_seq_len=max_seq_len, model_path=model_path)
        num_rows = len(base.get_input_embeddings().weight)
        super().__init__(
            prompts, max_seq_len=max_seq_len, num_places=passes.cache.num_tokens, spare=0, num_rows=num_rows
        )
        self._base, self._model_path = base, model_path
        self._grammars = Grammars(prompts.tokenizer, prompts.end_ids, num_tokens=num_rows)
        self._scheduler = Scheduler(passes, max_rows=max_rows, max_adapters=max_adapters, decode=self.detokenize)
        self.offer = self._scheduler.offer

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        """Ask, and have the answer delivered as it comes; returns what cancels it."""
        return self._scheduler.add(self._row(request, deliver))

    def scores(
        self, pieces: Sequence[list[int]], *, adapter: str | None, num_logprobs: int | None
    ) -> list[list[TokenLogprob]]:
        """Each piece's tokens after its first."""
        return self._scheduler.score(pieces, adapter=adapter, num_logprobs=num_logprobs)

    def load_adapter(self, name: str, folder: str) -> None:
        """Load one more adapter; others go on answering."""
        read = read_adapter(name, folder, base=self._base, model_path=self._model_path)
        self.take_template(name, folder)
        self.offer(read)

    def unload_adapter(self, name: str) -> None:
        """Let go of an adapter once those who ask it have their answers."""
        self._scheduler.withdraw(name)
        self._own_prompts.pop(name, None)

    def status(self) -> EngineStatus:
        """How much there is to do."""
        return self._scheduler.status()

    def close(self) -> None:
        """End the thread; open answers end in an error."""
        self._scheduler.close()

    def _row(self, request: GenerateRequest, deliver: Deliver) -> Row:
        """Check a request and tokenise it."""
        self._scheduler.check_adapter(request.adapter)
        ids, max_new_tokens = self._ids_and_room(request)
        check_ids([i for i, _ in request.logit_bias], "logit_bias", num_rows=self._num_rows)
        grammar = self._grammars.make(request.schema) if request.schema else None
        text = TextStream(self._prompts.decode, request.stop)
        end_ids = self.prompts_of(request.adapter).end_ids
        return Row(request, ids, max_new_tokens, Choice(request, ids, grammar), text, deliver, end_ids)


def _depends_on_neighbours(config: Any) -> bool:
    """Rotary embeddings that stretch with the longest text of a pass: those models answer one at a time."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [parameters, *(p for p in parameters.values() if isinstance(p, dict))]
    return any(p.get("rope_type") in ("dynamic", "longrope") for p in kinds)
