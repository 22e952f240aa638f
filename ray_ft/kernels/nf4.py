"""NF4 weights (arXiv 2305.14314) with doubly quantised constants, as bitsandbytes stores them, to 16 bits in one pass.

bitsandbytes first brings the constants to fp32 and then the weights to 16 bits, with a kernel for each and one pair per
layer. Here one Triton kernel does both.
"""

from typing import Any

BLOCK = 64  # weights that share a constant
TILE = 2048  # packed bytes of one program


def dequantise(packed: list[Any], *, outputs: int, dtype: Any) -> Any:
    """[outputs, inputs] of `dtype` from packed nibbles, 8-bit constants, their fp32 constants, and [code, the mean].

    Equal, bit by bit, to bitsandbytes' own `dequantize_4bit`.
    """
    import torch

    nibbles, constants, scales, code = packed
    count = nibbles.numel()
    out = torch.empty(outputs, 2 * count // outputs, dtype=dtype, device=nibbles.device)
    grid = (-(-count // TILE),)
    # A fused multiply-add would round once where bitsandbytes rounds twice.
    _kernel()[grid](
        nibbles, constants, scales, code, _table(nibbles.device), out, count, TILE=TILE, enable_fp_fusion=False
    )
    return out


_made: dict[Any, Any] = {}


def _table(device: Any) -> Any:
    """The 16 values of NF4, float32."""
    import torch
    from bitsandbytes.functional import get_4bit_type

    if device not in _made:
        _made[device] = get_4bit_type("nf4", device=device).to(torch.float32)
    return _made[device]


def _kernel() -> Any:
    if "kernel" in _made:
        return _made["kernel"]
    import triton
    import triton.language as tl

    @triton.jit  # type: ignore[untyped-decorator]
    def unpack(nibbles, constants, scales, code, table, out, count, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
        at = tl.program_id(0) * TILE + tl.arange(0, TILE)
        inside = at < count
        byte = tl.load(nibbles + at, mask=inside, other=0).to(tl.int32)
        block = at // 32  # 32 bytes hold the 64 weights of a block
        index = tl.load(constants + block, mask=inside, other=0).to(tl.int32)
        scale = tl.load(scales + block // 256, mask=inside, other=0.0)  # 256 constants share one of their own
        constant = tl.load(code + index) * scale + tl.load(code + 256)
        high = tl.load(table + (byte >> 4)) * constant
        low = tl.load(table + (byte & 15)) * constant
        both = tl.interleave(high, low)
        to = tl.program_id(0) * (2 * TILE) + tl.arange(0, 2 * TILE)
        tl.store(out + to, both.to(out.dtype.element_ty), mask=to < 2 * count)

    _made["kernel"] = unpack
    return unpack
