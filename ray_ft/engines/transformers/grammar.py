"""Answers that keep to a JSON schema: which tokens may come next, by llguidance."""

import json
from typing import TYPE_CHECKING, Any

from ray_ft.errors import GenerationError, MissingDependencyError, first_line

if TYPE_CHECKING:
    import torch


class Grammars:
    """Makes grammars for one tokenizer, whose tokens are looked at once."""

    def __init__(self, tokenizer: Any, end_ids: frozenset[int], *, num_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids
        self._num_tokens = num_tokens
        self._known: Any = None

    def make(self, schema: str) -> "Grammar":
        """The grammar of a JSON schema. Raises GenerationError for one that cannot be kept to."""
        try:
            import llguidance
            import llguidance.hf
        except ImportError:
            raise MissingDependencyError(
                "answers in JSON need a grammar: pip install 'ray_ft[grammar]' (llguidance) where the model is served"
            ) from None
        if self._known is None:
            self._known = llguidance.hf.from_tokenizer(
                self._tokenizer, n_vocab=self._num_tokens, eos_token=sorted(self._end_ids) or None
            )
        try:
            # white space is the model's way to go on for ever
            given = {**json.loads(schema), "x-guidance": {"whitespace_flexible": False}}
            matcher = llguidance.LLMatcher(
                self._known, llguidance.LLMatcher.grammar_from_json_schema(json.dumps(given))
            )
        except (ValueError, TypeError) as error:
            raise GenerationError(f"the JSON schema cannot be kept to: {first_line(error)}") from None
        if matcher.is_error():
            raise GenerationError(f"the JSON schema cannot be kept to: {matcher.get_error().strip().splitlines()[0]}")
        return Grammar(matcher, self._end_ids)


class Grammar:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: Any, end_ids: frozenset[int]) -> None:
        self._matcher = matcher
        self._end_ids = sorted(end_ids)

    def allowed(self, num_tokens: int) -> "torch.Tensor":
        """Which of the vocabulary may come next, [vocabulary] of bool; only an end once the answer is whole."""
        import torch

        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = (bits[:, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten().bool()
        out = torch.zeros(num_tokens, dtype=torch.bool)
        out[: min(num_tokens, len(allowed))] = allowed[:num_tokens]
        if self._matcher.is_accepting() or self._matcher.is_stopped():
            out[self._end_ids] = True
        return out

    def accept(self, token_id: int) -> None:
        """The answer goes on with this token. Raises GenerationError for one that is not allowed."""
        if token_id in self._end_ids:
            return
        if not self._matcher.consume_token(token_id):
            raise GenerationError("the grammar has come to an end that was not foreseen")
