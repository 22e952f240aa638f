"""SwiGLU MLPs, silu(gate) * up into a down projection, that do not keep the product between the two.

The product is the widest activation of a layer, and of the backward pass only the gradient of the down projection's A
(or of its weight, where that trains) needs it. So product and projection share a backward pass, which computes the
product again in the pass that makes the gradients of gate and up (elementwise.py), after the one that they come from:
it is neither kept nor computed in a pass of its own, whatever a layer keeps (recompute.py).
"""

from functools import cache
from typing import Any

from ray_ft.kernels import elementwise
from ray_ft.kernels.lora import FusedForward, _grad_inner, _grad_x, _project

CLASSES = ("llama.modeling_llama.LlamaMLP", "mistral.modeling_mistral.MistralMLP",
           "qwen2.modeling_qwen2.Qwen2MLP", "qwen3.modeling_qwen3.Qwen3MLP")  # fmt: skip
"""Under transformers.models: down(act(gate(x)) * up(x))."""


def fuse_swiglu(model: Any) -> int:
    """Switch the MLPs that are SwiGLU; call it after `fuse_lora`. Returns how many are."""
    found = [module for module in model.modules() if _is_swiglu(module)]
    for module in found:
        kind: Any = type(module)
        module.__class__ = _gated_class(kind)
    if found:
        _register()
    return len(found)


class GatedMLP:
    """Mixed into an MLP's class."""

    gate_proj: Any
    up_proj: Any
    down_proj: Any

    def forward(self, x: Any) -> Any:
        """[..., hidden] to [..., hidden]."""
        import torch

        gate, up, down = self.gate_proj(x), self.up_proj(x), self.down_proj
        adapted = isinstance(down, FusedForward)
        trains = type(down) is torch.nn.Linear and down.weight.requires_grad and down.weight.dtype == gate.dtype
        if not (adapted or trains):
            return down(torch.ops.ray_ft.silu_mul(gate, up))
        flat_gate, flat_up = gate.reshape(-1, gate.shape[-1]), up.reshape(-1, up.shape[-1])
        # The operators below make all gradients, so `product` hands none on.
        product = torch.ops.ray_ft.silu_mul(flat_gate.detach(), flat_up.detach())
        if trains:
            y, bias = torch.ops.ray_ft.gated_linear(flat_gate, flat_up, product, down.weight), down.bias
        else:
            group, bias = down.fused_group, down.fused_bias
            a, b = (getattr(down, name)["default"].weight for name in ("lora_A", "lora_B"))
            inner = torch.ops.ray_ft.lora_inner(product, [a.detach()])
            y = torch.ops.ray_ft.gated_lora(flat_gate, flat_up, product, inner, group.frozen, a, b, group.scale)
        y = y.view(*x.shape[:-1], y.shape[-1])
        return y if bias is None else y + bias


def _is_swiglu(module: Any) -> bool:
    kind = type(module)
    known = f"{kind.__module__}.{kind.__name__}".removeprefix("transformers.models.") in CLASSES
    # A forward of the instance's own is someone else's kernel.
    return known and module.config.hidden_act in ("silu", "swish") and "forward" not in vars(module)


@cache
def _gated_class(mlp: Any) -> Any:
    """One class for all layers, so that torch.compile compiles them once."""
    return type(f"Gated{mlp.__name__}", (GatedMLP, mlp), {})


@cache
def _register() -> Any:
    """Make the operators; whoever holds the result keeps them."""
    import torch

    library: Any = torch.library.Library("ray_ft", "FRAGMENT")  # type: ignore[no-untyped-call]
    operators = {
        "silu_mul(Tensor gate, Tensor up) -> Tensor": elementwise.silu_mul,
        "silu_mul_backward(Tensor grad, Tensor gate, Tensor up) -> (Tensor, Tensor)": elementwise.silu_mul_backward,
        "gated_linear(Tensor gate, Tensor up, Tensor product, Tensor weight) -> Tensor": _linear,
        "gated_linear_backward(Tensor grad, Tensor gate, Tensor up, Tensor weight) -> (Tensor, Tensor, Tensor)":
            _linear_backward,
        "gated_lora(Tensor gate, Tensor up, Tensor product, Tensor inner, Tensor[] frozen, Tensor a, Tensor b,"
        " float scale) -> Tensor": _lora,
        "gated_lora_backward(Tensor grad, Tensor gate, Tensor up, Tensor inner, Tensor[] frozen, Tensor a, Tensor b,"
        " float scale) -> (Tensor, Tensor, Tensor, Tensor)": _lora_backward,
    }  # fmt: skip
    for schema, function in operators.items():
        library.define(schema)
        library.impl(schema.partition("(")[0], function, "CompositeExplicitAutograd")
    for name, like in _FAKES.items():
        torch.library.register_fake(f"ray_ft::{name}", like, lib=library)
    for name, (keep, differentiate) in _GRADIENTS.items():
        torch.library.register_autograd(f"ray_ft::{name}", differentiate, setup_context=keep, lib=library)
    return library


def _linear(gate: Any, up: Any, product: Any, weight: Any) -> Any:
    return product @ weight.t()


def _linear_backward(grad: Any, gate: Any, up: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Gradients of gate, up and the weight [hidden, mlp_width]."""
    buffer = grad @ weight
    grad_gate, grad_up = elementwise.silu_mul_backward(buffer, gate, up, buffer)
    return grad_gate, grad_up, grad.t() @ buffer


def _lora(
    gate: Any, up: Any, product: Any, inner: Any, frozen: list[Any], a: Any, b: Any, scale: float
) -> Any:  # fmt: skip
    return _project(product, inner, frozen, [a], [b], scale)[0]


def _lora_backward(
    grad: Any, gate: Any, up: Any, inner: Any, frozen: list[Any], a: Any, b: Any, scale: float
) -> tuple[Any, Any, Any, Any]:
    """Gradients of gate, up, A [r, mlp_width] and B [hidden, r]."""
    grad_inner, (grad_b,) = _grad_inner([grad], inner, [b], scale)
    # Holds the product's gradient, and after it the product.
    buffer = _grad_x([grad], grad_inner, frozen, [a], [b])
    grad_gate, grad_up = elementwise.silu_mul_backward(buffer, gate, up, buffer)
    return grad_gate, grad_up, grad_inner.t() @ buffer, grad_b


def _empty(*tensors: Any) -> tuple[Any, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in tensors)


_FAKES: dict[str, Any] = {
    "silu_mul": lambda gate, up: gate.new_empty(gate.shape),
    "silu_mul_backward": lambda grad, gate, up: _empty(gate, up),
    "gated_linear": lambda gate, up, product, weight: gate.new_empty(gate.shape[0], weight.shape[0]),
    "gated_linear_backward": lambda grad, gate, up, weight: _empty(gate, up, weight),
    "gated_lora": lambda gate, up, product, inner, frozen, a, b, scale: gate.new_empty(gate.shape[0], b.shape[0]),
    "gated_lora_backward": lambda grad, gate, up, inner, frozen, a, b, scale: _empty(gate, up, a, b),
}


def _keep_both(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _both_from(ctx: Any, grad: Any) -> tuple[Any, ...]:
    import torch

    return tuple(torch.ops.ray_ft.silu_mul_backward(grad, *ctx.saved_tensors))


def _keep_linear(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    gate, up, _, weight = inputs
    ctx.save_for_backward(gate, up, weight)


def _linear_from(ctx: Any, grad: Any) -> tuple[Any, ...]:
    import torch

    grad_gate, grad_up, grad_weight = torch.ops.ray_ft.gated_linear_backward(grad.contiguous(), *ctx.saved_tensors)
    return grad_gate, grad_up, None, grad_weight


def _keep_lora(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    gate, up, _, inner, frozen, a, b, ctx.scale = inputs
    ctx.save_for_backward(gate, up, inner, a, b, *frozen)


def _lora_from(ctx: Any, grad: Any) -> tuple[Any, ...]:
    import torch

    gate, up, inner, a, b, *frozen = ctx.saved_tensors
    grad_gate, grad_up, grad_a, grad_b = torch.ops.ray_ft.gated_lora_backward(
        grad.contiguous(), gate, up, inner, frozen, a, b, ctx.scale
    )
    return grad_gate, grad_up, None, None, [None] * len(frozen), grad_a, grad_b, None


_GRADIENTS = {
    "silu_mul": (_keep_both, _both_from),
    "gated_linear": (_keep_linear, _linear_from),
    "gated_lora": (_keep_lora, _lora_from),
}
