"""The decode loop: rows that share one adapter go through the model together, one token each per step.

How a row chooses its next token, and when its tokens become text, stands first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ray_ft.engines.base import TextDelta
from ray_ft.errors import GenerationError

if TYPE_CHECKING:
    import torch


REPLACEMENT = "�"
"""What a decoder returns for bytes that are no character, or not one yet."""


# --- a row ------------------------------------------------------------------------------------------------------------


class Sampler:
    """Draws tokens for one request; its random numbers depend on its seed alone, not on neighbours or the device."""

    def __init__(self, *, temperature: float, top_p: float, seed: int) -> None:
        import torch

        self.temperature = temperature
        self.top_p = top_p
        self._random = torch.Generator().manual_seed(seed)

    def next_token(self, logits: "torch.Tensor") -> int:
        """The next token id, given float logits of shape [vocabulary]."""
        import torch

        if self.temperature == 0:
            return int(logits.argmax())
        # float32 first: a small temperature would overflow float16
        logits = logits.float()
        probabilities, ids = ((logits - logits.max()) / self.temperature).softmax(-1).sort(descending=True, stable=True)
        cumulative = probabilities.cumsum(-1)
        # nucleus (arXiv 1904.09751): the fewest tokens whose probability reaches top_p; the likeliest always stays
        inside = max(int((cumulative - probabilities < self.top_p).sum()), 1)
        total = float(cumulative[inside - 1])
        point = float(torch.rand((), generator=self._random)) * total
        chosen = int((cumulative[:inside] <= point).sum())
        return int(ids[min(chosen, inside - 1)])


class TextStream:
    """The text of one answer as its tokens arrive; the pieces join to what decoding all tokens at once would give."""

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = tuple(s for s in stop if s)
        self._ids: list[int] = []
        self._window = 0  # ids from here give the decoder its context, so that joins and spaces come out right
        self._read = 0  # ids before this have left the decoder as text
        self._held = ""  # text that may yet become a stop string
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Take the next token; returns the text that is now certain, possibly none."""
        assert not self.stopped, "a stopped stream takes no more tokens"
        self._ids.append(token_id)
        return self._release(self._new_text(final=False))

    def finish(self) -> str:
        """The text still held back, once no token follows."""
        if self.stopped:
            return ""
        text = self._release(self._new_text(final=True))
        held, self._held = self._held, ""
        return text + ("" if self.stopped else held)

    def _new_text(self, *, final: bool) -> str:
        """Text since the last read; nothing while its last character is incomplete."""
        known = self._decode(self._ids[self._window : self._read])
        text = self._decode(self._ids[self._window :])
        if len(text) <= len(known) or (text.endswith(REPLACEMENT) and not final):
            return ""
        self._window, self._read = self._read, len(self._ids)
        return text[len(known) :]

    def _release(self, text: str) -> str:
        """Pass text on up to a stop string, or up to what could become one."""
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


@dataclass
class Row:
    """One request on its way; `index` is its place in the caller's list."""

    index: int
    prompt_ids: list[int]
    max_new_tokens: int
    sampler: Sampler
    text: TextStream
    num_tokens: int = 0  # generated so far, the ending one included


def decode(
    model: Any, rows: list[Row], *, end_ids: frozenset[int], pad_id: int, prepare: Callable[[], None]
) -> Iterator[tuple[Row, TextDelta]]:
    """Yield every row's pieces as they come; a row's last piece carries its finish reason.

    `prepare` is called before each forward pass and selects the rows' adapter: between two pieces the caller may run
    another loop on the same model.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    tokens, mask = _left_padded([row.prompt_ids for row in rows], pad_id)
    tokens, mask = tokens.to(model.device), None if mask is None else mask.to(model.device)
    live = list(rows)
    while live:
        prepare()
        logits = _forward(model, tokens, mask, cache)
        chosen = [row.sampler.next_token(logits[i]) for i, row in enumerate(live)]
        deltas = [_accept(row, token, end_ids) for row, token in zip(live, chosen, strict=True)]
        yield from ((row, delta) for row, delta in zip(live, deltas, strict=True) if delta.text or delta.finish_reason)
        kept = [i for i, delta in enumerate(deltas) if delta.finish_reason is None]
        live = [live[i] for i in kept]
        if live:
            tokens, mask = _advance(cache, mask, [chosen[i] for i in kept], kept, num_rows=len(deltas))
            tokens = tokens.to(model.device)


def _left_padded(prompts: list[list[int]], pad_id: int) -> tuple["torch.Tensor", "torch.Tensor | None"]:
    """Token ids [rows, longest] and their mask; none where nothing is padded, as for one row."""
    import torch

    longest = max(map(len, prompts))
    tokens = torch.tensor([[pad_id] * (longest - len(p)) + p for p in prompts])
    if all(len(p) == longest for p in prompts):
        return tokens, None
    return tokens, torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])


def _forward(model: Any, tokens: "torch.Tensor", mask: "torch.Tensor | None", cache: Any) -> "torch.Tensor":
    """Logits [rows, vocabulary] after the last of `tokens` [rows, new]; `mask` covers cached and new tokens."""
    import torch

    positions = None
    if mask is not None:
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    try:
        with torch.inference_mode():
            output = model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
    except torch.OutOfMemoryError:
        length = cache.get_seq_length() + tokens.shape[1]
        raise GenerationError(
            f"out of GPU memory with {tokens.shape[0]} requests of {length} tokens; lower engine.batch_size"
        ) from None
    logits: torch.Tensor = output.logits[:, -1]
    return logits


def _accept(row: Row, token: int, end_ids: frozenset[int]) -> TextDelta:
    """Add a token to a row and say what it makes certain."""
    row.num_tokens += 1
    text = ""
    reason: Literal["stop", "length"] | None = None
    if token in end_ids:
        reason = "stop"
    else:
        text = row.text.push(token)
        if row.text.stopped:
            reason = "stop"
        elif row.num_tokens == row.max_new_tokens:
            reason = "length"
    if reason is not None:
        text += row.text.finish()
        if row.text.stopped:
            reason = "stop"
    return TextDelta(text, reason, len(row.prompt_ids), row.num_tokens)


def _advance(
    cache: Any, mask: "torch.Tensor | None", chosen: list[int], kept: list[int], *, num_rows: int
) -> tuple["torch.Tensor", "torch.Tensor | None"]:
    """Next step's tokens [rows, 1] and mask; finished rows leave the cache."""
    import torch

    if len(kept) < num_rows:
        cache.batch_select_indices(torch.tensor(kept, device=cache.layers[0].keys.device))
        mask = None if mask is None else mask[kept]
    if mask is not None:
        mask = torch.cat([mask, mask.new_ones(len(kept), 1)], dim=1)
    return torch.tensor(chosen)[:, None], mask


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`, the whole of `stop` excluded."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
