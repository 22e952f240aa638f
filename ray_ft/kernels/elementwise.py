"""SwiGLU's product and the rotation of heads, each in one pass over memory: Triton on a GPU, PyTorch elsewhere.

Everything is computed in fp32 (fp64 for fp64) and rounded once, when it is stored. transformers' layers as written
round after each operation: silu(gate) before the product, and both terms of a rotation before their sum. In 16 bits
the results therefore differ by about one unit in the last place, and these are the nearer ones. Where the layers are
compiled, Inductor rounds as these do.
"""

from typing import Any

BLOCK = 1024  # elements of one program of the product: 8 for each thread, which is one load of 16 bytes in 16 bits
WARPS = 4


def silu_mul(gate: Any, up: Any) -> Any:
    """silu(gate) * up, of any shape; a contiguous result."""
    import torch

    if not _has_kernel(gate):
        wide = _wide(gate)
        return (wide * torch.sigmoid(wide) * _wide(up)).to(gate.dtype)
    gate, up = gate.contiguous(), up.contiguous()
    out = torch.empty_like(gate)
    grid = (-(-gate.numel() // BLOCK),)
    _kernels()["silu_mul"][grid](gate, up, out, gate.numel(), BLOCK=BLOCK, num_warps=WARPS)
    return out


def silu_mul_backward(grad: Any, gate: Any, up: Any, product: Any = None) -> tuple[Any, Any]:
    """Gradients of gate and up; `product`, if given, receives silu(gate) * up once more and may be `grad` itself.

    The product costs one more write here; as a kernel of its own it would read gate and up again.
    """
    import torch

    if not _has_kernel(gate):
        wide, factor, slope = _wide(gate), _wide(up), _wide(grad)
        sigmoid = torch.sigmoid(wide)
        grad_gate = slope * factor * sigmoid * (1 + wide * (1 - sigmoid))
        grad_up = slope * wide * sigmoid
        if product is not None:
            product.copy_(wide * sigmoid * factor)
        return grad_gate.to(gate.dtype), grad_up.to(up.dtype)
    assert product is None or product.is_contiguous()
    grad, gate, up = grad.contiguous(), gate.contiguous(), up.contiguous()
    grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
    grid = (-(-gate.numel() // BLOCK),)
    again = product is not None
    _kernels()["silu_mul_backward"][grid](
        grad, gate, up, grad_gate, grad_up, product if again else grad, gate.numel(),
        AGAIN=again, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip
    return grad_gate, grad_up


def rotate_heads(query: Any, key: Any, cos: Any, sin: Any, *, back: bool) -> tuple[Any, Any]:
    """Queries and keys turned by their positions' angles, or `back` by them, which is the gradient of turning.

    query and key are [tokens, heads, head_dim], of which only head_dim has to be contiguous; cos and sin are
    [tokens, head_dim] and hold each angle twice, so that dimension i turns with dimension i + head_dim / 2. Not in
    place: that saves no traffic, and what a projection gave may be kept for the backward pass.
    """
    import torch

    if not _has_kernel(query):
        return _rotate(query, cos, sin, back=back), _rotate(key, cos, sin, back=back)
    import triton

    query, key, cos, sin = (t if t.stride(-1) == 1 else t.contiguous() for t in (query, key, cos, sin))
    turned = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    turned_key = torch.empty(key.shape, dtype=key.dtype, device=key.device)
    tokens, heads, head_dim = query.shape
    _kernels()["rotate"][(tokens,)](
        query, key, cos, sin, turned, turned_key,
        query.stride(0), query.stride(1), key.stride(0), key.stride(1), cos.stride(0), sin.stride(0),
        HEADS=heads, KEY_HEADS=key.shape[1], HALF=head_dim // 2, BACK=back,
        TILE=triton.next_power_of_2(heads), KEY_TILE=triton.next_power_of_2(key.shape[1]),
        WIDTH=triton.next_power_of_2(head_dim // 2), num_warps=WARPS,
    )  # fmt: skip
    return turned, turned_key


def _rotate(heads: Any, cos: Any, sin: Any, *, back: bool) -> Any:
    import torch

    half = heads.shape[-1] // 2
    first, second = _wide(heads[..., :half]), _wide(heads[..., half:])
    c, s = _wide(cos)[:, None, :half], _wide(sin)[:, None, :half]
    s = -s if back else s
    return torch.cat([first * c - second * s, second * c + first * s], dim=-1).to(heads.dtype)


def _wide(tensor: Any) -> Any:
    import torch

    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _has_kernel(tensor: Any) -> bool:
    import torch

    return bool(tensor.is_cuda) and tensor.dtype in (torch.bfloat16, torch.float16, torch.float32)


_made: dict[str, Any] = {}


def _kernels() -> dict[str, Any]:
    if _made:
        return _made
    import triton
    import triton.language as tl

    @triton.jit  # type: ignore[untyped-decorator]
    def silu_mul(gate, up, out, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
        u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(out + at, (g / (1.0 + tl.exp(-g)) * u).to(out.dtype.element_ty), mask=inside)

    @triton.jit  # type: ignore[untyped-decorator]
    def silu_mul_backward(  # type: ignore[no-untyped-def]
        grad, gate, up, grad_gate, grad_up, product, count, AGAIN: tl.constexpr, BLOCK: tl.constexpr
    ):
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        d = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(gate + at, mask=inside, other=0.0).to(tl.float32)
        u = tl.load(up + at, mask=inside, other=0.0).to(tl.float32)
        sigmoid = 1.0 / (1.0 + tl.exp(-g))
        silu = g * sigmoid
        tl.store(grad_gate + at, (d * u * (sigmoid + silu * (1.0 - sigmoid))).to(gate.dtype.element_ty), mask=inside)
        tl.store(grad_up + at, (d * silu).to(up.dtype.element_ty), mask=inside)
        if AGAIN:
            tl.store(product + at, (silu * u).to(product.dtype.element_ty), mask=inside)

    @triton.jit  # type: ignore[untyped-decorator]
    def rotate(  # type: ignore[no-untyped-def]
        query, key, cos, sin, turned, turned_key, query_token, query_head, key_token, key_head, cos_token, sin_token,
        HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, HALF: tl.constexpr, BACK: tl.constexpr,
        TILE: tl.constexpr, KEY_TILE: tl.constexpr, WIDTH: tl.constexpr,
    ):  # fmt: skip
        token = tl.program_id(0).to(tl.int64)
        column = tl.arange(0, WIDTH)
        angles = column < HALF
        c = tl.load(cos + token * cos_token + column, mask=angles, other=0.0).to(tl.float32)[None, :]
        s = tl.load(sin + token * sin_token + column, mask=angles, other=0.0).to(tl.float32)[None, :]
        if BACK:
            s = -s

        head = tl.arange(0, TILE)[:, None]
        inside = (head < HEADS) & angles[None, :]
        at = query + token * query_token + head * query_head + column[None, :]
        first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
        to = turned + token * (HEADS * HALF * 2) + head * (HALF * 2) + column[None, :]
        tl.store(to, (first * c - second * s).to(turned.dtype.element_ty), mask=inside)
        tl.store(to + HALF, (second * c + first * s).to(turned.dtype.element_ty), mask=inside)

        head = tl.arange(0, KEY_TILE)[:, None]
        inside = (head < KEY_HEADS) & angles[None, :]
        at = key + token * key_token + head * key_head + column[None, :]
        first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
        to = turned_key + token * (KEY_HEADS * HALF * 2) + head * (HALF * 2) + column[None, :]
        tl.store(to, (first * c - second * s).to(turned_key.dtype.element_ty), mask=inside)
        tl.store(to + HALF, (second * c + first * s).to(turned_key.dtype.element_ty), mask=inside)

    _made.update(silu_mul=silu_mul, silu_mul_backward=silu_mul_backward, rotate=rotate)
    return _made
