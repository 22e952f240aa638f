"""How the next token of each answer is chosen, for all answers of a pass at once."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ray_ft.engines.requests import GenerateRequest, TokenLogprob

if TYPE_CHECKING:
    import torch


class Choice:
    """What one answer has asked for, and what its choices depend on beside the model; not on its neighbours."""

    def __init__(self, request: GenerateRequest, prompt_ids: Sequence[int], grammar: Any = None) -> None:
        self.request = request
        self.grammar = grammar
        self._random: torch.Generator | None = None
        self._prompt = set(prompt_ids) if request.repetition_penalty != 1 else set[int]()
        self._answered: Counter[int] = Counter()
        self._counts = bool(
            request.repetition_penalty != 1 or request.presence_penalty or request.frequency_penalty
        )  # fmt: skip
        self.is_adjusted = self._counts or bool(request.logit_bias) or grammar is not None

    def waits(self, like: "torch.Tensor") -> "torch.Tensor":
        """A positive random number for each of the vocabulary [vocabulary], by the answer's own seed."""
        import torch

        if self._random is None:
            self._random = torch.Generator(like.device).manual_seed(self.request.seed)
        return like.new_empty(like.shape[1]).exponential_(generator=self._random)

    def accept(self, token_id: int) -> None:
        """The answer goes on with this token."""
        if self._counts:
            self._answered[token_id] += 1
        if self.grammar is not None:
            self.grammar.accept(token_id)

    def adjust(self, scores: "torch.Tensor") -> None:
        """Change one row of scores [vocabulary] in place: penalties, biases, and what the grammar allows."""
        request = self.request
        if request.repetition_penalty != 1 and (seen := self._prompt | self._answered.keys()):
            ids = _ids(seen, scores)
            at = scores[ids]
            scores[ids] = at / request.repetition_penalty ** at.sign()  # nearer to -inf, whichever the sign
        if self._answered and (request.presence_penalty or request.frequency_penalty):
            ids = _ids(self._answered, scores)
            counts = scores.new_tensor(list(self._answered.values()))
            scores[ids] -= request.presence_penalty + request.frequency_penalty * counts
        if request.logit_bias:
            ids = _ids([i for i, _ in request.logit_bias], scores)
            scores[ids] += scores.new_tensor([bias for _, bias in request.logit_bias])
        if self.grammar is not None:
            scores.masked_fill_(~self.grammar.allowed(len(scores)).to(scores.device), float("-inf"))


def choose_tokens(logits: "torch.Tensor", choices: Sequence[Choice]) -> list[int]:
    """The next token of each row of logits [rows, vocabulary]."""
    adjusted = [i for i, choice in enumerate(choices) if choice.is_adjusted]
    drawn = [i for i, choice in enumerate(choices) if choice.request.temperature > 0]
    if not adjusted and not drawn:
        chosen: list[int] = logits.argmax(-1).tolist()
        return chosen
    logits = logits.float() if logits.dtype != logits.float().dtype else logits.clone()
    for i in adjusted:
        choices[i].adjust(logits[i])
    tokens = logits.argmax(-1)
    if drawn:
        tokens[drawn] = _draw(logits[drawn], [choices[i] for i in drawn])
    chosen = tokens.tolist()
    return chosen


def _draw(logits: "torch.Tensor", choices: Sequence[Choice]) -> "torch.Tensor":
    """Samples of each row from the likeliest tokens that top_k, min_p and the nucleus leave.

    By a race of exponential waits, a random number for every token (the Gumbel trick; arXiv 1611.00712). Rounding then
    changes a sample only where two tokens come in within rounding of each other, while with one number and a running
    sum every token's rounding moves all that follow.
    """
    import torch

    asked = [choice.request for choice in choices]
    scaled = (logits - logits.amax(-1, keepdim=True)) / logits.new_tensor([[r.temperature] for r in asked])
    probabilities = scaled.softmax(-1)
    if any(r.top_p < 1 or r.top_k or r.min_p for r in asked):
        column = logits.new_tensor([[r.top_p, r.min_p, r.top_k or logits.shape[1]] for r in asked])
        top_p, min_p, top_k = column.T[:, :, None]
        ordered = probabilities.sort(descending=True).values
        before = ordered.cumsum(-1) - ordered
        rank = torch.arange(logits.shape[1], device=logits.device)
        # nucleus (arXiv 1904.09751): the fewest tokens whose probability reaches top_p; the likeliest always stays
        inside = (before < top_p) & (rank < top_k) & (ordered >= min_p * ordered[:, :1])
        least = ordered.gather(1, inside.sum(-1, keepdim=True).clamp(min=1) - 1)
        probabilities = probabilities.where(probabilities >= least, 0)
    return (probabilities / torch.stack([choice.waits(probabilities) for choice in choices])).argmax(-1)


def log_probabilities(
    logits: "torch.Tensor", tokens: Sequence[int], choices: Sequence[Choice], decode: Any
) -> list[tuple[TokenLogprob, ...]]:
    """What each row that asked for it is told of its token; `decode` makes a token's text. Logits as the model gave."""
    wanted = [i for i, choice in enumerate(choices) if choice.request.num_logprobs is not None]
    told: list[tuple[TokenLogprob, ...]] = [()] * len(choices)
    if not wanted:
        return told
    rows = logits[wanted].float().log_softmax(-1)
    for row, i in zip(rows, wanted, strict=True):
        most = choices[i].request.num_logprobs or 0
        values, ids = row.topk(min(most, len(row)))
        told[i] = (told_of(tokens[i], (float(row[tokens[i]]), ids.tolist(), values.tolist()), decode),)
    return told


def told_of(token: int, score: tuple[float, list[int], list[float]], decode: Any) -> TokenLogprob:
    """A token with its ln p, and the ids and ln p of the likeliest in its place, with their texts."""
    logprob, ids, values = score
    top = tuple((i, decode([i]), value) for i, value in zip(ids, values, strict=True))
    return TokenLogprob(token, decode([token]), logprob, top)


def _ids(ids: Any, like: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.tensor(list(ids), device=like.device)
