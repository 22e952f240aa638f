"""Rotary positions of queries and keys in one pass, between a projection's output and packed attention as they lie.

transformers' attention turns heads laid out as [rows, heads, tokens, head_dim], in several operations that a compiler
fuses into passes over strided memory. Here heads stay as the projection writes them, [tokens, heads, head_dim], which
is also what packed attention reads (attention.py), and their gradients come back the same way.
"""

from functools import cache
from typing import Any

from ray_ft.kernels import elementwise
from ray_ft.kernels.attention import ATTENTION, attend

CLASSES = ("llama.modeling_llama.LlamaAttention", "mistral.modeling_mistral.MistralAttention",
           "qwen2.modeling_qwen2.Qwen2Attention", "qwen3.modeling_qwen3.Qwen3Attention")  # fmt: skip
"""Under transformers.models: q, k and v projections, norms of heads where there are any, rotation by halves."""


def fuse_rotary(model: Any) -> int:
    """Switch the attention modules of a model that has packed attention; returns how many now turn heads here."""
    if model.config._attn_implementation != ATTENTION:
        return 0
    found = [module for module in model.modules() if _is_known(module)]
    for module in found:
        kind: Any = type(module)
        module.__class__ = _turned_class(kind)
    if found:
        _register()
    return len(found)


class TurnedHeads:
    """Mixed into an attention module's class."""

    config: Any
    head_dim: int
    scaling: float
    q_proj: Any
    k_proj: Any
    v_proj: Any
    o_proj: Any

    def forward(
        self, hidden_states: Any, position_embeddings: Any = None, attention_mask: Any = None,
        past_key_values: Any = None, **kwargs: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        """As transformers' own, which serves what is not packed rows: samples with a cache, partial rotations."""
        import torch

        borders = kwargs.get("cu_seq_lens_q")
        cos, sin = position_embeddings
        if borders is None or past_key_values is not None or attention_mask is not None \
                or cos.shape[-1] != self.head_dim:  # fmt: skip
            return super().forward(  # type: ignore[misc, no-any-return]
                hidden_states=hidden_states, position_embeddings=position_embeddings, attention_mask=attention_mask,
                past_key_values=past_key_values, **kwargs,
            )  # fmt: skip
        rows, tokens, _ = hidden_states.shape
        query, key, value = (
            project(hidden_states).view(rows * tokens, -1, self.head_dim)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if hasattr(self, "q_norm"):
            query, key = self.q_norm(query), self.k_norm(key)  # type: ignore[attr-defined]
        cos, sin = (angles.expand(rows, -1, -1).reshape(rows * tokens, -1) for angles in (cos, sin))
        query, key = torch.ops.ray_ft.rotate_heads(query, key, cos, sin, False)
        out = attend(query, key, value, borders, longest=tokens, scale=self.scaling, window=self._window())
        return self.o_proj(out.view(rows, tokens, -1)), None

    def _window(self) -> int | None:
        # Qwen has layers with and without one; Mistral's layers share theirs, and Llama has none.
        source = self if hasattr(self, "sliding_window") else self.config
        return getattr(source, "sliding_window", None)


def _is_known(module: Any) -> bool:
    kind = type(module)
    known = f"{kind.__module__}.{kind.__name__}".removeprefix("transformers.models.") in CLASSES
    return known and "forward" not in vars(module) and module.head_dim % 2 == 0


@cache
def _turned_class(attention: Any) -> Any:
    """One class for all layers, so that torch.compile compiles them once."""
    return type(f"Turned{attention.__name__}", (TurnedHeads, attention), {})


@cache
def _register() -> Any:
    """Make the operator; whoever holds the result keeps it."""
    import torch

    library: Any = torch.library.Library("ray_ft", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("rotate_heads(Tensor query, Tensor key, Tensor cos, Tensor sin, bool back) -> (Tensor, Tensor)")
    library.impl("rotate_heads", _rotate, "CompositeExplicitAutograd")
    torch.library.register_fake("ray_ft::rotate_heads", _fake, lib=library)
    torch.library.register_autograd("ray_ft::rotate_heads", _differentiate, setup_context=_keep, lib=library)
    return library


def _rotate(query: Any, key: Any, cos: Any, sin: Any, back: bool) -> tuple[Any, Any]:
    return elementwise.rotate_heads(query, key, cos, sin, back=back)


def _fake(query: Any, key: Any, cos: Any, sin: Any, back: bool) -> tuple[Any, Any]:
    return query.new_empty(query.shape), key.new_empty(key.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    query, key, cos, sin, ctx.back = inputs
    ctx.shapes = query.shape, key.shape
    ctx.save_for_backward(cos, sin)


def _differentiate(ctx: Any, *grads: Any) -> tuple[Any, ...]:
    import torch

    cos, sin = ctx.saved_tensors
    # An output that nothing depends on has no gradient.
    whole = [
        next(g for g in grads if g is not None).new_zeros(shape) if grad is None else grad
        for grad, shape in zip(grads, ctx.shapes, strict=True)
    ]
    return (*torch.ops.ray_ft.rotate_heads(*whole, cos, sin, not ctx.back), None, None, None)
