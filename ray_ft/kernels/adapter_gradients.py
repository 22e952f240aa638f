"""Both gradients that an adapter draws from its layer's output gradient, in one pass over it.

The output's gradient `g` is as wide as the layer's output, and the adapter needs `g B` for its middle and `g^T inner`
for B itself: two thin products, each of which would read all of `g` and do little with it. The kernel reads a tile of
`g` once and adds it to both. Sums over tiles are kept in fp32 and added in one order, so results repeat bit by bit.
"""

from functools import cache
from typing import Any

from ray_ft.kernels.compiler import can_build_kernels

WIDEST = 64  # thicker adapters are bound by arithmetic rather than by memory, which suits cuBLAS
ROWS = 64  # tokens of a tile
BLOCK = 256
SHARED_BYTES = 200 * 2**10
"""From here on three wide tiles have room in a multiprocessor's shared memory, as on an H200 or a B200."""


def has_kernel(grad: Any, rank: int) -> bool:
    """Whether `gradients` runs on this tensor: 16 bits, on a GPU with Triton and its compiler, of a thin adapter."""
    import torch

    fits = grad.dtype in (torch.bfloat16, torch.float16) and rank <= WIDEST
    return bool(grad.is_cuda) and fits and can_build_kernels()


def gradients(grad: Any, b: Any, inner: Any, grad_inner: Any, *, scale: float) -> Any:
    """The gradient of B, scaled; `grad_inner` receives that of the middle, scaled.

    Args:
        grad: [tokens, outputs], contiguous.
        b: [outputs, rank], contiguous.
        inner: [tokens, rank], of which only rank has to be contiguous.
        grad_inner: as inner.
        scale: the adapter's alpha / rank.
    """
    import torch
    import triton

    tokens, outputs = grad.shape
    rank = b.shape[1]
    width = max(16, triton.next_power_of_2(rank))
    columns, stages, processors = _settings(grad.device)
    columns = min(columns, 8192 // width)
    across = triton.cdiv(outputs, columns)
    # One program for each multiprocessor, of whole tiles: the fewer, the fewer sums there are to add.
    tiles = triton.cdiv(triton.cdiv(tokens, ROWS), max(1, processors // across))
    down = triton.cdiv(tokens, tiles * ROWS)
    inner_parts = torch.empty(across, tokens, rank, dtype=torch.float32, device=grad.device)
    b_parts = torch.empty(down, outputs, rank, dtype=torch.float32, device=grad.device)
    kernels = _kernels()
    kernels["both"][(across, down)](
        grad, b, inner, inner_parts, b_parts, tokens, outputs, inner.stride(0), tiles,
        RANK=rank, WIDTH=width, ROWS=ROWS, COLUMNS=columns, num_warps=8, num_stages=stages,
    )  # fmt: skip
    grad_b = torch.empty_like(b)
    first, second = triton.cdiv(tokens * rank, BLOCK), triton.cdiv(outputs * rank, BLOCK)
    kernels["add"][(first + second,)](
        inner_parts, grad_inner, grad_inner.stride(0), across, tokens * rank,
        b_parts, grad_b, down, outputs * rank, first, scale, RANK=rank, BLOCK=BLOCK, PARTS=8,
    )  # fmt: skip
    return grad_b


@cache
def _settings(device: Any) -> tuple[int, int, int]:
    """Columns of a tile, tiles under way at once, and multiprocessors."""
    import torch

    if device.type != "cuda":
        return 512, 3, 4
    about = torch.cuda.get_device_properties(device)
    wide = getattr(about, "shared_memory_per_block_optin", 0) >= SHARED_BYTES
    return (512, 3, about.multi_processor_count) if wide else (256, 2, about.multi_processor_count)


_made: dict[str, Any] = {}


def _kernels() -> dict[str, Any]:
    if _made:
        return _made
    import triton
    import triton.language as tl

    @triton.jit  # type: ignore[untyped-decorator]
    def both(  # type: ignore[no-untyped-def]
        grad, b, inner, inner_parts, b_parts, tokens, outputs, inner_stride, tiles,
        RANK: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        across = tl.program_id(0)
        down = tl.program_id(1)
        column = across * COLUMNS + tl.arange(0, COLUMNS)
        middle = tl.arange(0, WIDTH)
        there = (column[:, None] < outputs) & (middle[None, :] < RANK)
        part = tl.load(b + column[:, None] * RANK + middle[None, :], mask=there, other=0.0)
        grad_b = tl.zeros((COLUMNS, WIDTH), dtype=tl.float32)
        for tile in range(tiles):
            row = (down * tiles + tile) * ROWS + tl.arange(0, ROWS)
            inside = (row[:, None] < tokens) & (column[None, :] < outputs)
            at = row[:, None].to(tl.int64) * outputs + column[None, :]
            g = tl.load(grad + at, mask=inside, other=0.0)
            known = (row[:, None] < tokens) & (middle[None, :] < RANK)
            m = tl.load(inner + row[:, None].to(tl.int64) * inner_stride + middle[None, :], mask=known, other=0.0)
            grad_b = tl.dot(tl.trans(g), m, grad_b)
            to = (across * tokens + row[:, None]).to(tl.int64) * RANK + middle[None, :]
            tl.store(inner_parts + to, tl.dot(g, part), mask=known)
        to = (down * outputs + column[:, None]).to(tl.int64) * RANK + middle[None, :]
        tl.store(b_parts + to, grad_b, mask=there)

    @triton.jit  # type: ignore[untyped-decorator]
    def add(  # type: ignore[no-untyped-def]
        inner_parts, grad_inner, inner_stride, inner_count, inner_size,
        b_parts, grad_b, b_count, b_size, first, scale,
        RANK: tl.constexpr, BLOCK: tl.constexpr, PARTS: tl.constexpr,
    ):  # fmt: skip
        program = tl.program_id(0)
        part = tl.arange(0, PARTS)[:, None]
        total = tl.zeros((BLOCK,), dtype=tl.float32)
        if program < first:
            at = program * BLOCK + tl.arange(0, BLOCK)
            for start in range(0, inner_count, PARTS):
                known = (start + part < inner_count) & (at[None, :] < inner_size)
                at_part = inner_parts + (start + part).to(tl.int64) * inner_size + at[None, :]
                total += tl.sum(tl.load(at_part, mask=known, other=0.0), axis=0)
            to = (at // RANK).to(tl.int64) * inner_stride + at % RANK
            tl.store(grad_inner + to, (total * scale).to(grad_inner.dtype.element_ty), mask=at < inner_size)
        else:
            at = (program - first) * BLOCK + tl.arange(0, BLOCK)
            for start in range(0, b_count, PARTS):
                known = (start + part < b_count) & (at[None, :] < b_size)
                at_part = b_parts + (start + part).to(tl.int64) * b_size + at[None, :]
                total += tl.sum(tl.load(at_part, mask=known, other=0.0), axis=0)
            tl.store(grad_b + at, (total * scale).to(grad_b.dtype.element_ty), mask=at < b_size)

    _made.update(both=both, add=add)
    return _made
