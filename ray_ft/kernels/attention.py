"""Attention over packed rows without a mask: every example of a row is a sequence of its own (variable-length kernels).

The kernel is the best that is present: FlashAttention-4 on Hopper and Blackwell where `flash-attn-4` is installed,
else the FlashAttention-2 kernel that comes with PyTorch, and on a CPU PyTorch's kernel for it, one example after
another. For attention that these do not have, transformers' own stays, which isolates packed examples by a mask.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from ray_ft.errors import ModelError

ATTENTION = "ray_ft_packed"
"""Name under which transformers knows the packed attention."""

DRAWS = ("drop", "jitter", "noise")
"""Words in the keys of a configuration, such as attention_dropout, resid_pdrop and router_jitter_noise."""

Kernel = Literal["flash4", "flash2", "examples"]

_kernel: Kernel = "examples"


def use_packed_attention(model: Any) -> Kernel | None:
    """Switch the model to packed attention; None where it has to keep transformers' own.

    `model` is a transformers PreTrainedModel that is on the device where it trains.
    """
    import torch

    if not getattr(model, "_supports_flash_attn", False) or not _is_plain(model.config):
        return None
    global _kernel
    if model.device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(model.device)
        if major < 8 or model.dtype not in (torch.bfloat16, torch.float16):
            return None
        _kernel = "flash4" if major in (9, 10) and _has_flash4() else "flash2"
    elif getattr(model.config, "sliding_window", None) is None:
        _kernel = "examples"
    else:
        return None
    _register()
    model.set_attn_implementation(ATTENTION)
    return _kernel


def packed_lengths(position_ids: Any) -> dict[str, Any]:
    """What `forward` gets beside a batch: borders of all packed examples of a micro-batch laid end to end.

    `position_ids` is [rows, max_seq_len] and restarts at 0 with each example. Returns transformers' names:
    int32 [examples + 1] of cumulative lengths, and the longest that an example can be.
    """
    import torch

    starts = torch.nonzero(position_ids.reshape(-1) == 0).reshape(-1)
    ends = torch.cat([starts, starts.new_tensor([position_ids.numel()])]).to(torch.int32)
    longest = position_ids.shape[1]
    return {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}


def _is_plain(config: Any) -> bool:
    """No soft-capping, sinks, dropout, or keys wider than values: what both kernels compute forwards and backwards."""
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    latent = getattr(config, "kv_lora_rank", None) is not None
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dropped = any("att" in key for key in drawn_keys(config))
    return not (capped or latent or dropped or config.model_type == "gpt_oss") and head_dim % 8 == 0 and head_dim <= 256


def drawn_keys(config: Any) -> list[str]:
    """Keys of a configuration, or of a part of it, by which a forward pass in training draws random numbers."""
    found, parts = [], [config if isinstance(config, dict) else config.to_dict()]
    while parts:
        for key, value in parts.pop().items():
            if isinstance(value, dict):
                parts.append(value)
            elif isinstance(value, float) and value > 0 and any(word in key for word in DRAWS):
                found.append(key)
    return found


def _has_flash4() -> bool:
    try:
        from flash_attn.cute.interface import _flash_attn_bwd, _flash_attn_fwd  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


@cache
def _register() -> Any:
    """Make the operators and transformers' entry; whoever holds the result keeps them."""
    import torch
    from transformers import AttentionInterface

    library: Any = torch.library.Library("ray_ft", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define(
        "packed_attention(Tensor query, Tensor key, Tensor value, Tensor borders, SymInt longest, float scale,"
        " SymInt window) -> (Tensor, Tensor)"
    )
    library.impl("packed_attention", _forward, "CompositeExplicitAutograd")
    library.define(
        "packed_attention_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor out, Tensor lse,"
        " Tensor borders, SymInt longest, float scale, SymInt window) -> (Tensor, Tensor, Tensor)"
    )
    library.impl("packed_attention_backward", _backward, "CompositeExplicitAutograd")
    torch.library.register_fake("ray_ft::packed_attention", _fake_forward, lib=library)
    torch.library.register_fake("ray_ft::packed_attention_backward", _fake_backward, lib=library)
    torch.library.register_autograd("ray_ft::packed_attention", _differentiate, setup_context=_keep, lib=library)
    AttentionInterface.register(ATTENTION, _interface)
    return library


def _interface(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **kwargs: Any
) -> tuple[Any, None]:
    """transformers' attention interface: query, key and value are [rows, heads, tokens, head_dim]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    borders = kwargs.get("cu_seq_lens_q")
    if borders is None:  # a generated sample: one sequence, with a cache
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        return out, None
    unknown = attention_mask is not None or kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None
    if unknown or kwargs.get("dropout"):
        raise ModelError(f"{type(module).__name__} asks for an attention that packed rows cannot have")
    rows, _, tokens, _ = query.shape
    query, key, value = (t.transpose(1, 2).reshape(rows * tokens, t.shape[1], t.shape[3]) for t in (query, key, value))
    window = kwargs.get("sliding_window")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = attend(query, key, value, borders, longest=tokens, scale=scale, window=window)
    return out.view(rows, tokens, *out.shape[1:]), None


def attend(
    query: Any, key: Any, value: Any, borders: Any, *, longest: int, scale: float, window: int | None
) -> Any:  # fmt: skip
    """Causal attention within each example: heads and result are [tokens, heads, head_dim].

    `borders` and `longest` are `packed_lengths`'; `window` is how many tokens a token sees, itself included.
    """
    import torch

    left = -1 if window is None or window >= longest else window - 1
    out, _ = torch.ops.ray_ft.packed_attention(query, key, value, borders, longest, scale, left)
    return out


def _forward(
    query: Any, key: Any, value: Any, borders: Any, longest: int, scale: float, window: int
) -> tuple[Any, Any]:
    """Causal attention within each example: [tokens, heads, head_dim], and the log-sum-exp, float32 [heads, tokens]."""
    import torch

    if _kernel == "flash4":
        from flash_attn.cute.interface import _flash_attn_fwd

        found = _flash_attn_fwd(
            query, key, value, cu_seqlens_q=borders, cu_seqlens_k=borders, max_seqlen_q=longest, max_seqlen_k=longest,
            softmax_scale=scale, causal=True, window_size_left=None if window < 0 else window,
            window_size_right=None if window < 0 else 0, return_lse=True,
        )  # fmt: skip
        return found[0], found[1]
    if _kernel == "examples":
        return _forward_one_by_one(query, key, value, borders, scale)
    out, lse, *_ = torch.ops.aten._flash_attention_forward(
        query, key, value, borders, borders, longest, longest, 0.0, True, False, scale=scale,
        window_size_left=window, window_size_right=0 if window >= 0 else -1,
    )  # fmt: skip
    return out, lse


def _fake_forward(
    query: Any, key: Any, value: Any, borders: Any, longest: int, scale: float, window: int
) -> tuple[Any, Any]:
    import torch

    tokens, heads, _ = query.shape
    out = query.new_empty(tokens, heads, value.shape[-1])
    return out, query.new_empty(heads, tokens, dtype=torch.float32)


def _backward(
    grad: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, borders: Any, longest: int, scale: float,
    window: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Gradients of query, key and value."""
    import torch

    if _kernel == "flash4":
        from flash_attn.cute.interface import _flash_attn_bwd

        grads = _flash_attn_bwd(
            query, key, value, out, grad, lse, softmax_scale=scale, causal=True,
            window_size_left=None if window < 0 else window, window_size_right=None if window < 0 else 0,
            cu_seqlens_q=borders, cu_seqlens_k=borders, max_seqlen_q=longest, max_seqlen_k=longest,
        )  # fmt: skip
        return grads[0], grads[1], grads[2]
    if _kernel == "examples":
        return _backward_one_by_one(grad, query, key, value, out, lse, borders, scale)
    unused = torch.empty(0, device=query.device)
    no_dropout = torch.zeros(2, dtype=torch.uint64, device=query.device)
    grads = torch.ops.aten._flash_attention_backward(
        grad, query, key, value, out, lse, borders, borders, longest, longest, 0.0, True, no_dropout, unused,
        scale=scale, window_size_left=window, window_size_right=0 if window >= 0 else -1,
    )  # fmt: skip
    return grads[0], grads[1], grads[2]


def _fake_backward(
    grad: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, borders: Any, longest: int, scale: float,
    window: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, Any]) -> None:
    query, key, value, borders, ctx.longest, ctx.scale, ctx.window = inputs
    ctx.save_for_backward(query, key, value, *output, borders)


def _differentiate(ctx: Any, grad: Any, _: Any) -> tuple[Any, ...]:
    import torch

    query, key, value, out, lse, borders = ctx.saved_tensors
    grads = torch.ops.ray_ft.packed_attention_backward(
        grad.contiguous(), query, key, value, out, lse, borders, ctx.longest, ctx.scale, ctx.window
    )
    return (*grads, None, None, None, None)


def _forward_one_by_one(query: Any, key: Any, value: Any, borders: Any, scale: float) -> tuple[Any, Any]:
    import torch

    outs, sums = [], []
    for q, k, v in _examples(borders, query, key, value):
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, _as_many_heads(k, q), _as_many_heads(v, q), 0.0, True, scale=scale
        )
        outs.append(out[0].transpose(0, 1))
        sums.append(lse[0])
    return torch.cat(outs), torch.cat(sums, dim=1)


def _backward_one_by_one(
    grad: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, borders: Any, scale: float
) -> tuple[Any, Any, Any]:
    import torch

    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    found = []
    ends = borders.tolist()
    for i, (g, q, k, v, o) in enumerate(_examples(borders, grad, query, key, value, out)):
        keys, values = _as_many_heads(k, q), _as_many_heads(v, q)
        grads = backward(g, q, keys, values, o, lse[None, :, ends[i] : ends[i + 1]], 0.0, True, scale=scale)
        shared = [grads[0], *(d.view(1, k.shape[1], -1, *d.shape[2:]).sum(2) for d in grads[1:])]
        found.append([d[0].transpose(0, 1) for d in shared])
    grad_query, grad_key, grad_value = (torch.cat(parts) for parts in zip(*found, strict=True))
    return grad_query, grad_key, grad_value


def _examples(borders: Any, *tensors: Any) -> Iterator[list[Any]]:
    """Each example's slice of [tokens, heads, head_dim] tensors, as [1, heads, its tokens, head_dim]."""
    ends = borders.tolist()
    for start, end in pairwise(ends):
        if end > start:
            yield [t[start:end].transpose(0, 1)[None] for t in tensors]


def _as_many_heads(shared: Any, query: Any) -> Any:
    """Keys or values, repeated for the query heads that share them."""
    return shared.repeat_interleave(query.shape[1] // shared.shape[1], dim=1)
