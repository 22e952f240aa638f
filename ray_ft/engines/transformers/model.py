"""A base with its adapters, loaded and ready to answer: `LoadedModel` over the decode loop, and its tokenizer."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from ray_ft.engines.base import GenerateRequest, GenerateResult, TextDelta
from ray_ft.engines.transformers.adapters import AdapterSet
from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.engines.transformers.decoding import Row, Sampler, TextStream, decode
from ray_ft.errors import GenerationError, ModelError, first_line
from ray_ft.models.chat_text import ChatText, ControlTokens, chat_ids, render_chat
from ray_ft.models.tokenizer import load_tokenizer

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


class Prompts:
    """The tokenizer of a base, with what a decode loop needs to know about it."""

    def __init__(self, model_path: str, generation_config: Any, *, chat_template: str | None) -> None:
        self.tokenizer: Any = load_tokenizer(model_path, chat_template)
        self._model_path = model_path
        self._control = ControlTokens(self.tokenizer)
        turn = self._rendered_turn()
        self.end_ids = self._find_end_ids(generation_config, turn)
        self._bos = self._find_bos(turn)

    def render(self, messages: list[dict[str, str]]) -> ChatText:
        """The prompt text of a conversation, ending where the assistant's answer begins.

        Special tokens that a message spells out are letters in it.
        """
        from jinja2 import TemplateError

        if not self.tokenizer.chat_template:
            raise ModelError(f"{self._model_path} has no chat template; set model.chat_template to a Jinja file")
        try:
            return render_chat(self.tokenizer, self._control, messages, add_generation_prompt=True)
        except (TemplateError, KeyError, TypeError) as error:
            raise GenerationError(f"the chat template refuses these messages: {first_line(error)}") from None

    def encode(self, prompt: str) -> list[int]:
        """Ids of a finished prompt text; special tokens written in the text become their ids, in `render`'s its own.

        The beginning-of-text id is put in front where the model expects one and the text does not spell it out, which
        a rendered chat template does by itself.
        """
        ids = self.encode_text(prompt)
        if self._bos is not None and ids[:1] != [self._bos]:
            return [self._bos, *ids]
        return ids

    def encode_text(self, text: str) -> list[int]:
        """Ids of a prompt text alone."""
        return chat_ids(text, self._ids)

    def encode_content(self, text: str) -> list[int]:
        """Ids of a document's text, in which special tokens that are written out are letters."""
        return self._control.content_ids(text)

    def decode(self, ids: list[int]) -> str:
        """Text of ids, without special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @property
    def document_start_id(self) -> int | None:
        """The id that stands before a document when its first token is to be predicted."""
        bos = self.tokenizer.bos_token_id
        return int(bos) if bos is not None else self.tokenizer.eos_token_id

    def _ids(self, text: str, *, is_content: bool) -> list[int]:
        return self._control.content_ids(text) if is_content else self.tokenizer.encode(text, add_special_tokens=False)

    def _rendered_turn(self) -> tuple[str, str] | None:
        """What the chat template puts before a user's message and after an assistant's; None without a template."""
        question, answer = "ray-ft-question", "ray-ft-answer"
        messages: list[Mapping[str, str]] = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        if not self.tokenizer.chat_template:
            return None
        try:
            text = str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception:  # a template may raise anything on a shape it does not like; the probe is optional
            return None
        if question not in text or answer not in text:
            return None
        return text.split(question)[0], text.rsplit(answer, 1)[1]

    def _find_end_ids(self, generation_config: Any, turn: tuple[str, str] | None) -> frozenset[int]:
        """End-of-text of config and tokenizer, and the special token with which the template ends an answer.

        Many bases name only end-of-text as eos and would never stop in a chat.
        """
        configured = getattr(generation_config, "eos_token_id", None)
        ids = set(configured if isinstance(configured, list) else [configured])
        ids.add(self.tokenizer.eos_token_id)
        if turn is not None:
            after = self.encode_text(turn[1].lstrip())
            if after and after[0] in self.tokenizer.added_tokens_decoder:  # not a piece of ordinary text
                ids.add(after[0])
        return frozenset(int(i) for i in ids if i is not None)

    def _find_bos(self, turn: tuple[str, str] | None) -> int | None:
        """The id that starts prompts: the one the tokenizer adds itself, unless the chat template goes without it."""
        bos = self.tokenizer.bos_token_id
        if bos is None or list(self.tokenizer.encode(""))[:1] != [bos]:
            return None
        if turn is not None and not turn[0].startswith(self.tokenizer.bos_token):
            return None
        return int(bos)


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
