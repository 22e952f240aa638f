"""What loaded models share that make their prompts with the base's own tokenizer, wherever they compute."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_ft.engines.base import LoadedModel
from ray_ft.engines.prompts import Prompts
from ray_ft.engines.requests import GenerateRequest, TokenLogprob
from ray_ft.errors import GenerationError, PromptTooLongError
from ray_ft.models.tokenizer import TEMPLATE_FILE

SCORING_WINDOW = 2048
"""Most tokens scored in one pass; the logits of more, over a large vocabulary, would not fit beside the weights."""

EMPTY = "the prompt is empty; give at least one token"


class PromptedModel(LoadedModel):
    """A `LoadedModel` that is given ids and gives text."""

    def __init__(
        self,
        prompts: Prompts,
        *,
        max_seq_len: int,
        num_places: int | None = None,
        spare: int = 2,
        num_rows: int | None = None,
    ) -> None:
        """`num_places`: room for one answer where it is below the context; `spare`: tokens that scoring leaves free.

        An engine that reads what is predicted off an answer wants two: one is read, and the answer has a place.
        `num_rows`: of the embedding, where it is known.
        """
        self._prompts = prompts
        self._own_prompts: dict[str, Prompts] = {}  # of adapters that have a chat template of their own
        self.max_seq_len = max_seq_len
        self._num_places = min(max_seq_len, num_places or max_seq_len)
        self._num_rows = num_rows
        self._scoring_window = min(max_seq_len - spare, SCORING_WINDOW)

    @abstractmethod
    def scores(
        self, pieces: Sequence[list[int]], *, adapter: str | None, num_logprobs: int | None
    ) -> list[list[TokenLogprob]]:
        """Each piece's tokens after its first; None leaves out texts and likelier tokens. Raises GenerationError."""

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        adapter: str | None = None,
        **template_kwargs: Any,
    ) -> str:
        """The prompt text of a conversation, ending where the assistant's answer begins."""
        return self.prompts_of(adapter).render(messages, tools=tools, **template_kwargs)

    def prompts_of(self, adapter: str | None) -> Prompts:
        """What makes an adapter's prompts, and knows where its answers end."""
        return self._own_prompts.get(adapter or "", self._prompts)

    def take_template(self, name: str, folder: str) -> None:
        """Answer for an adapter in the chat template that its folder has, if it has one. Raises ModelError."""
        path = Path(folder) / TEMPLATE_FILE
        if not path.is_file():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        known = (self._prompts, *list(self._own_prompts.values()))
        same = next((prompts for prompts in known if prompts.tokenizer.chat_template == text), None)
        self._own_prompts[name] = same or self._prompts.in_template(path)

    def token_ids(self, text: str) -> list[int]:
        """Ids of a prompt text."""
        return self._prompts.encode_text(text)

    def prompt_ids(self, prompt: str, *, adapter: str | None = None) -> list[int]:
        """Ids of a finished prompt, with a beginning of text where the template expects one."""
        return self.prompts_of(adapter).encode(prompt, longest=self.max_seq_len)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""
        return self._prompts.decode(list(ids), skip_special_tokens=False)

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        """Sum of -ln p(token) over each text, in nats.

        A text longer than a window is scored in windows side by side, which are alike for all engines where the context
        is longer than a window.
        """
        pieces = self._prompts.scoring_pieces(texts, window=self._scoring_window)
        sums = [0.0] * len(texts)
        told = self.scores([ids for _, ids in pieces], adapter=adapter, num_logprobs=None)
        for (text, _), tokens in zip(pieces, told, strict=True):
            sums[text] -= sum(token.logprob for token in tokens)
        return sums

    def prompt_logprobs(
        self, prompts: Sequence[Sequence[int]], *, adapter: str | None, num_logprobs: int
    ) -> list[list[TokenLogprob]]:
        """What the model thinks of each token of prompts; those of one token are not asked about."""
        for ids in prompts:
            if len(ids) > self._num_places:
                raise PromptTooLongError(
                    f"the prompt has {len(ids)} tokens; the model's context is {self.max_seq_len} tokens"
                )
            if not ids:
                raise GenerationError(EMPTY)
            check_ids(ids, "the prompt", num_rows=self._num_rows)
        pieces = [list(ids) for ids in prompts if len(ids) > 1]
        told = iter(self.scores(pieces, adapter=adapter, num_logprobs=num_logprobs) if pieces else ())
        firsts = [TokenLogprob(ids[0], self.detokenize(ids[:1]), math.nan) for ids in prompts]
        return [[first, *(next(told) if len(ids) > 1 else ())] for first, ids in zip(firsts, prompts, strict=True)]

    def _ids_and_room(self, request: GenerateRequest) -> tuple[list[int], int]:
        """A request's prompt, and the most tokens that may be answered. Raises GenerationError."""
        given = request.prompt
        ids = self.prompt_ids(given, adapter=request.adapter) if isinstance(given, str) else list(given)
        if not ids:
            raise GenerationError(EMPTY)
        check_ids(ids, "the prompt", num_rows=self._num_rows)
        room = self._num_places - len(ids)
        if room < 1:
            raise PromptTooLongError(
                f"the prompt has {len(ids)} tokens, which leaves no room for an answer "
                f"in the model's context of {self.max_seq_len}"
            )
        if request.max_new_tokens < 1:
            raise GenerationError(f"max_new_tokens is {request.max_new_tokens}; it must be at least 1")
        return ids, min(request.max_new_tokens, room)


def check_ids(ids: Sequence[int], what: str, *, num_rows: int | None) -> None:
    """Raise GenerationError for ids that an embedding of so many rows does not have; None: any may be there."""
    if num_rows is None:
        return
    if wrong := [i for i in ids if not 0 <= i < num_rows]:
        raise GenerationError(f"{what} has token id {wrong[0]}; ids are 0 to {num_rows - 1}")
