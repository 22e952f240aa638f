"""The decode loop: rows that share one adapter go through the model together, one token each per step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ray_ft.engines.base import TextDelta
from ray_ft.engines.transformers.sampling import Sampler
from ray_ft.engines.transformers.text_stream import TextStream
from ray_ft.errors import GenerationError

if TYPE_CHECKING:
    import torch


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
