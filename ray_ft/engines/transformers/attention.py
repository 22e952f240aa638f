"""Attention over the cache for a pass that holds tokens of many answers side by side.

A pass has a number of answers that go on by one token each, then stretches of prompts. It is an attention of
transformers' own registry, so every architecture that asks the registry for its attention can answer.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray_ft.kernels.compiler import can_build_kernels

if TYPE_CHECKING:
    import torch

NAME = "ray_ft"
_passing = threading.local()


@dataclass(frozen=True)
class Stretch:
    """Tokens [first, last) of a pass that stand one after the other in one text, after `offset` others of it."""

    first: int
    last: int
    offset: int = 0
    start: int | None = None  # the text's first place in the cache; None: it is not kept


@dataclass
class Pass:
    """What attention has to know of one pass. All tensors are on the model's device."""

    cache: Any  # KeyValueCache; None while shapes are learnt
    places: "torch.Tensor | None" = None  # [tokens] where each token's keys go; None: nowhere
    num_steps: int = 0  # answers that go on by one token: the first tokens of the pass
    starts: "torch.Tensor | None" = None  # [steps] first place of each answer
    lengths: "torch.Tensor | None" = None  # [steps] tokens of each, the new one included
    longest: int = 0
    stretches: tuple[Stretch, ...] = ()
    seen: "dict[int, tuple[torch.Size, torch.Size]]" = field(default_factory=dict)  # shapes by layer, without a cache
    _steps: "tuple[torch.Tensor, torch.Tensor] | None" = None

    def step_places(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """Places [steps, longest] of each answer's tokens, and which of them are real."""
        import torch

        if self._steps is None:
            assert self.starts is not None
            assert self.lengths is not None
            at = torch.arange(self.longest, device=self.starts.device)
            real = at < self.lengths[:, None]
            # what is not real points to the answer's first token: what was never written may be no number
            self._steps = self.starts[:, None] + torch.where(real, at, 0), real
        return self._steps


@contextmanager
def passing(current: Pass) -> Iterator[None]:
    """Every attention of this thread belongs to this pass."""
    _passing.current = current
    try:
        yield
    finally:
        _passing.current = None


def register() -> None:
    """Enrol with transformers; as often as you like."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def attend(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: Any,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> "tuple[torch.Tensor, None]":
    """Queries [1, heads, tokens, width], keys and values [1, kv heads, tokens, width] to [1, tokens, heads, width]."""
    current: Pass = _passing.current
    if current.cache is None:
        current.seen[module.layer_idx] = (key[0, :, 0].shape, value[0, :, 0].shape)
        stretch = Stretch(0, key.shape[2])
        out = _stretch(query, key, value, stretch, scaling, sliding_window, softcap)
        return out.transpose(1, 2), None
    keys, values = current.cache.layers[module.layer_idx]
    if current.places is not None:
        keys[current.places], values[current.places] = key[0].transpose(0, 1), value[0].transpose(0, 1)
    out = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
    if current.num_steps:
        steps = query[0, :, : current.num_steps].transpose(0, 1)
        out[: current.num_steps] = _steps(current, steps, keys, values, scaling, sliding_window, softcap)
    for stretch in current.stretches:
        mine = slice(stretch.first, stretch.last)
        if stretch.start is None or stretch.offset == 0:
            k, v = key[:, :, mine], value[:, :, mine]
        else:
            held = slice(stretch.start, stretch.start + stretch.offset + stretch.last - stretch.first)
            k, v = keys[held].transpose(0, 1)[None], values[held].transpose(0, 1)[None]
        out[mine] = _stretch(query[:, :, mine], k, v, stretch, scaling, sliding_window, softcap)[0].transpose(0, 1)
    return out[None], None


def _steps(
    current: Pass,
    query: "torch.Tensor",  # [steps, heads, width]
    keys: "torch.Tensor",
    values: "torch.Tensor",
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> "torch.Tensor":
    """One token of each answer over all that it has behind it; [steps, heads, width]."""
    assert current.starts is not None
    assert current.lengths is not None
    if query.is_cuda and can_build_kernels():
        from ray_ft.kernels.decode_attention import decode_attention

        out: torch.Tensor = decode_attention(
            query, keys, values, current.starts, current.lengths, scaling=scaling, window=window, softcap=softcap
        )
        return out
    places, real = current.step_places()
    if len(places) == 1:  # one range: a view
        held = slice(int(places[0, 0]), int(places[0, 0]) + current.longest)
        k, v = keys[held][None], values[held][None]
    else:
        k, v = keys[places], values[places]  # [steps, longest, kv heads, width]
    mask = real[:, None, None]
    if window is not None:
        at = mask.new_ones(current.longest, dtype=current.lengths.dtype).cumsum(0) - 1
        mask = mask & (at > current.lengths[:, None] - 1 - window)[:, None, None]
    kv_heads = k.shape[2]
    # heads that share keys stand as queries beside each other: nothing is repeated
    grouped = query.view(len(query), kv_heads, -1, query.shape[-1])
    return _attention(grouped, k.transpose(1, 2), v.transpose(1, 2), mask, scaling, softcap).flatten(1, 2)


def _stretch(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    stretch: Stretch,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> "torch.Tensor":
    """Tokens of one text over themselves and the `offset` before them; [1, heads, tokens, width]."""
    import torch

    num_new, num_all = query.shape[2], key.shape[2]
    groups = query.shape[1] // key.shape[1]
    is_whole = num_new == num_all and (window is None or window >= num_all)
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    if is_whole and softcap is None:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=num_new > 1, scale=scaling)
    at = torch.arange(num_all, device=query.device)
    mine = at[stretch.offset :, None] if stretch.offset else at[:, None]
    mask = at <= mine
    if window is not None:
        mask &= at > mine - window
    return _attention(query, key, value, mask, scaling, softcap)


def _attention(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    mask: "torch.Tensor",
    scaling: float | None,
    softcap: float | None,
) -> "torch.Tensor":
    """Softmax attention under a mask; scores bounded by softcap * tanh(scores / softcap) where one is given."""
    import torch

    if softcap is None:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    scores = (query @ key.transpose(-1, -2)) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = (softcap * torch.tanh(scores / softcap)).masked_fill(~mask, float("-inf"))
    return scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
