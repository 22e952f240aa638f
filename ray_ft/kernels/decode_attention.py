"""Attention of one new token each for many answers, over keys and values that lie in one store: a Triton kernel.

Answers differ in length, and the lengths lie on the device, so that a recorded CUDA graph serves them as they grow.
Long answers of few rows are split among programs, and the parts joined by their maxima and sums (FlashDecoding; the
running softmax is arXiv 2205.14135's).
"""

import math
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BLOCK = 64
"""Tokens that a program reads at a time."""
PROGRAMS = 528
"""Programs that keep a large GPU busy, four for each of an H100's multiprocessors."""
MAX_SPLITS = 16


def decode_attention(
    query: "torch.Tensor",
    keys: "torch.Tensor",
    values: "torch.Tensor",
    starts: "torch.Tensor",
    lengths: "torch.Tensor",
    *,
    scaling: float | None = None,
    window: int | None = None,
    softcap: float | None = None,
) -> "torch.Tensor":
    """Queries [rows, heads, width] over keys and values [tokens, kv heads, width].

    Each row's own lie at [start, start + length). `window` is how many of the last tokens a row looks at, its own
    included. Returns [rows, heads, width of values].
    """
    import torch
    import triton

    num_rows, num_heads, width = query.shape
    kv_heads, value_width = values.shape[1:]
    groups = num_heads // kv_heads
    wanted = max(1, PROGRAMS // (num_rows * kv_heads))
    splits = min(MAX_SPLITS, triton.next_power_of_2(wanted + 1) // 2)
    parts = query.new_empty((num_rows, num_heads, splits, value_width), dtype=torch.float32)
    sums = query.new_empty((num_rows, num_heads, splits, 2), dtype=torch.float32)
    out = query.new_empty((num_rows, num_heads, value_width))
    attend, join = _kernels()
    attend[(num_rows, kv_heads, splits)](
        query, keys, values, starts, lengths, parts, sums,
        query.stride(0), query.stride(1), keys.stride(0), keys.stride(1), values.stride(0), values.stride(1),
        1 / math.sqrt(width) if scaling is None else scaling, softcap or 0.0,
        starts.stride(0), lengths.stride(0),
        GROUPS=groups, WIDTH=width, VALUE_WIDTH=value_width, WINDOW=window or 0, SPLITS=splits, HAS_CAP=bool(softcap),
        BLOCK_G=max(16, triton.next_power_of_2(groups)), BLOCK_N=BLOCK, BLOCK_D=triton.next_power_of_2(width),
        BLOCK_V=triton.next_power_of_2(value_width), num_warps=4,
    )  # fmt: skip
    join[(num_rows, num_heads)](
        parts, sums, out, VALUE_WIDTH=value_width, SPLITS=splits, BLOCK_V=triton.next_power_of_2(value_width)
    )
    return out


@cache
def _kernels() -> tuple[Any, Any]:
    import triton
    import triton.language as tl

    @triton.jit  # type: ignore[untyped-decorator]
    def attend(  # type: ignore[no-untyped-def]
        query, keys, values, starts, lengths, parts, sums,
        query_row, query_head, key_token, key_head, value_token, value_head, scaling, softcap, start_step, length_step,
        GROUPS: tl.constexpr, WIDTH: tl.constexpr, VALUE_WIDTH: tl.constexpr, WINDOW: tl.constexpr,
        SPLITS: tl.constexpr, HAS_CAP: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_N: tl.constexpr,
        BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
    ):  # fmt: skip
        row, head, split = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
        start = tl.load(starts + row * start_step)
        length = tl.load(lengths + row * length_step)
        low = 0
        if WINDOW > 0:
            low = tl.maximum(length - WINDOW, 0)
        share = tl.cdiv(tl.cdiv(length - low, SPLITS), BLOCK_N) * BLOCK_N
        begin = low + split * share
        end = tl.minimum(begin + share, length)
        g, d, v = tl.arange(0, BLOCK_G), tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_V)
        heads = head * GROUPS + g
        in_group = g < GROUPS
        q = tl.load(
            query + row * query_row + heads[:, None] * query_head + d[None, :],
            mask=in_group[:, None] & (d < WIDTH)[None, :],
            other=0.0,
        )
        largest = tl.full([BLOCK_G], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_G], tl.float32)
        result = tl.zeros([BLOCK_G, BLOCK_V], tl.float32)
        for at in range(begin, end, BLOCK_N):
            token = at + tl.arange(0, BLOCK_N)
            real = token < end
            place = (start + token).to(tl.int64)
            k = tl.load(
                keys + place[None, :] * key_token + head * key_head + d[:, None],
                mask=real[None, :] & (d < WIDTH)[:, None],
                other=0.0,
            )
            scores = tl.dot(q, k) * scaling
            if HAS_CAP:
                bounded = 2 / (1 + tl.exp(-2 * scores / softcap)) - 1
                scores = softcap * bounded
            scores = tl.where(real[None, :], scores, float("-inf"))
            higher = tl.maximum(largest, tl.max(scores, 1))
            weights = tl.exp(scores - higher[:, None])
            shrink = tl.exp(largest - higher)
            total = total * shrink + tl.sum(weights, 1)
            taken = tl.load(
                values + place[:, None] * value_token + head * value_head + v[None, :],
                mask=real[:, None] & (v < VALUE_WIDTH)[None, :],
                other=0.0,
            )
            result = result * shrink[:, None] + tl.dot(weights.to(taken.dtype), taken)
            largest = higher
        out = (row * (tl.num_programs(1) * GROUPS) + heads) * SPLITS + split
        tl.store(
            parts + out[:, None] * VALUE_WIDTH + v[None, :],
            result,
            mask=in_group[:, None] & (v < VALUE_WIDTH)[None, :],
        )
        tl.store(sums + out * 2, largest, mask=in_group)
        tl.store(sums + out * 2 + 1, total, mask=in_group)

    @triton.jit  # type: ignore[untyped-decorator]
    def join(  # type: ignore[no-untyped-def]
        parts, sums, out, VALUE_WIDTH: tl.constexpr, SPLITS: tl.constexpr, BLOCK_V: tl.constexpr
    ):
        at = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
        split, v = tl.arange(0, SPLITS), tl.arange(0, BLOCK_V)
        largest = tl.load(sums + (at * SPLITS + split) * 2)
        total = tl.load(sums + (at * SPLITS + split) * 2 + 1)
        weight = tl.exp(largest - tl.max(largest, 0))  # nothing for a split that had no token
        some = tl.load(
            parts + (at * SPLITS + split)[:, None] * VALUE_WIDTH + v[None, :],
            mask=(v < VALUE_WIDTH)[None, :],
            other=0.0,
        )
        joined = tl.sum(some * weight[:, None], 0) / tl.sum(total * weight, 0)
        tl.store(out + at * VALUE_WIDTH + v, joined.to(out.dtype.element_ty), mask=v < VALUE_WIDTH)

    return attend, join
