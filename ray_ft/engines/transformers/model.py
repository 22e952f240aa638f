"""A base with its adapters, loaded and ready to answer: `LoadedModel` over the decode loop."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from ray_ft.engines.base import GenerateRequest, GenerateResult, TextDelta
from ray_ft.engines.transformers.adapters import AdapterSet
from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.engines.transformers.decoding import Row, decode
from ray_ft.engines.transformers.prompts import Prompts
from ray_ft.engines.transformers.sampling import Sampler
from ray_ft.engines.transformers.text_stream import TextStream
from ray_ft.errors import GenerationError

SCORING_WINDOW = 2048
"""Most tokens scored in one pass; the logits of more, over a large vocabulary, would not fit beside the weights."""


def load_model(
    model_path: str,
    adapters: Mapping[str, str],
    *,
    chat_template: str | None,
    dtype: str,
    quantization: str,
    batch_size: int,
) -> "TransformersModel":
    """Load the base, then every adapter through its gate. Raises ModelError."""
    base = load_base(model_path, dtype=dtype, quantization=quantization)
    prompts = Prompts(model_path, base.generation_config, chat_template=chat_template)
    return TransformersModel(AdapterSet(base, model_path, adapters), prompts, batch_size=batch_size)


class TransformersModel:
    """`LoadedModel` in this process. One caller at a time; several streams may be open and advance in turn."""

    def __init__(self, adapters: AdapterSet, prompts: Prompts, *, batch_size: int) -> None:
        self._adapters = adapters
        self._prompts = prompts
        self._batch_size = max(batch_size, 1)
        self.max_seq_len = int(adapters.model.config.get_text_config(decoder=True).max_position_embeddings)

    def generate(self, requests: list[GenerateRequest]) -> list[GenerateResult]:
        """Answer all requests, in order; up to `batch_size` that ask the same adapter share their forward passes."""
        rows = [self._row(i, request) for i, request in enumerate(requests)]
        texts = [""] * len(requests)
        results: dict[int, GenerateResult] = {}
        for adapter, batch in self._batches(requests, rows):
            for row, delta in self._decode(batch, adapter):
                texts[row.index] += delta.text
                if delta.finish_reason is not None:
                    results[row.index] = GenerateResult(
                        texts[row.index], delta.num_prompt_tokens, delta.num_completion_tokens, delta.finish_reason
                    )
        return [results[i] for i in range(len(requests))]

    def stream(self, request: GenerateRequest) -> Iterator[TextDelta]:
        """Answer one request piece by piece; a bad request raises here, before the first piece is asked for."""
        row = self._row(0, request)
        return (delta for _, delta in self._decode([row], request.adapter))

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        """The prompt text of a conversation, ending where the assistant's answer begins."""
        return self._prompts.render(messages)

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text`."""
        return len(self._prompts.encode_text(text))

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        """Sum of -ln p(token) over each text, in nats.

        Every token is predicted, the first from the beginning-of-text token. A text longer than a window is scored in
        windows side by side, each starting from the last token of the one before.
        """
        self._check_adapter(adapter)
        self._adapters.activate(adapter)
        return [self._score(text) for text in texts]

    def _row(self, index: int, request: GenerateRequest) -> Row:
        """Check a request and tokenise it."""
        self._check_adapter(request.adapter)
        ids = self._prompts.encode(request.prompt)
        if not ids:
            raise GenerationError("the prompt is empty; give at least one token")
        room = self.max_seq_len - len(ids)
        if room < 1:
            raise GenerationError(
                f"the prompt has {len(ids)} tokens, which leaves no room for an answer "
                f"in the model's context of {self.max_seq_len}"
            )
        if request.max_new_tokens < 1:
            raise GenerationError(f"max_new_tokens is {request.max_new_tokens}; it must be at least 1")
        sampler = Sampler(temperature=request.temperature, top_p=request.top_p, seed=request.seed)
        text = TextStream(self._prompts.decode, request.stop)
        return Row(index, ids, min(request.max_new_tokens, room), sampler, text)

    def _check_adapter(self, adapter: str | None) -> None:
        if adapter is not None and adapter not in self._adapters.names:
            known = ", ".join(self._adapters.names) or "none"
            raise GenerationError(f"no adapter {adapter!r} is loaded; loaded are: {known}")

    def _batches(self, requests: list[GenerateRequest], rows: list[Row]) -> Iterator[tuple[str | None, list[Row]]]:
        """Rows of one adapter at a time, prompts of similar length together so that little is padded."""

        def adapter_of(row: Row) -> str:
            return requests[row.index].adapter or ""

        ordered = sorted(rows, key=lambda row: (adapter_of(row), len(row.prompt_ids), row.index))
        for adapter, group in groupby(ordered, key=adapter_of):
            members = list(group)
            for start in range(0, len(members), self._batch_size):
                yield adapter or None, members[start : start + self._batch_size]

    def _decode(self, rows: list[Row], adapter: str | None) -> Iterator[tuple[Row, TextDelta]]:
        return decode(
            self._adapters.model,
            rows,
            end_ids=self._prompts.end_ids,
            pad_id=int(self._prompts.tokenizer.pad_token_id or 0),
            prepare=lambda: self._adapters.activate(adapter),
        )

    def _score(self, text: str) -> float:
        import torch

        model: Any = self._adapters.model
        start_id = self._prompts.document_start_id
        ids = ([] if start_id is None else [start_id]) + self._prompts.encode_content(text)
        window = min(self.max_seq_len, SCORING_WINDOW)
        total = 0.0
        for start in range(0, len(ids) - 1, window):
            piece = torch.tensor([ids[start : start + window + 1]], device=model.device)
            with torch.inference_mode():
                logits = model(input_ids=piece[:, :-1], use_cache=False).logits[0]
                total += float(_cross_entropy(logits, piece[0, 1:]))
        return total


def _cross_entropy(logits: Any, targets: Any) -> float:
    """Sum of -ln p(target), in slices so that float32 copies of the logits stay small."""
    import torch

    total = 0.0
    for rows, wanted in zip(logits.split(256), targets.split(256), strict=True):
        total += float(torch.nn.functional.cross_entropy(rows.float(), wanted, reduction="sum"))
    return total
