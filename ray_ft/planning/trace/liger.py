"""What Liger's kernels hold, without Liger or a GPU: its fused loss, and its norms and gates for eager layers."""

from typing import Any

import torch


def use_liger(model: Any) -> None:
    """Norms and gated MLPs of a model that keep and make what Liger's do."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = _norm(module)
        elif all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj")):
            module.forward = _gated(module)


def _norm(module: Any) -> Any:
    apply: Any = _Norm.apply
    return lambda x: apply(x, module.weight)


def _gated(module: Any) -> Any:
    apply: Any = _Gate.apply
    return lambda x: module.down_proj(apply(module.gate_proj(x), module.up_proj(x)))


class _Norm(torch.autograd.Function):
    """Keeps its input and a number for each row; the gradient is written over the output's."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight, x.new_empty(x.shape[:-1], dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        _, weight, _ = ctx.saved_tensors
        return grad, torch.empty_like(weight) if ctx.needs_input_grad[1] else None


class _Gate(torch.autograd.Function):
    """Keeps gate and up, over which their gradients are written."""

    @staticmethod
    def forward(ctx: Any, gate: Any, up: Any) -> Any:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(gate)

    @staticmethod
    def backward(ctx: Any, _: Any) -> Any:
        gate, up = ctx.saved_tensors
        return gate, up


class FusedLoss(torch.autograd.Function):
    """Mean loss of [tokens, h] hidden states and a [V, h] head; the gradients are made going forward.

    Holds one buffer of some tokens' logits, which becomes their gradient, and the gradients of the hidden states and,
    where it trains, of the head.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any) -> Any:
        tokens, width = hidden.shape
        vocabulary = weight.shape[0]
        parts = -(-vocabulary // width)
        at_once = min(tokens, 1 << (-(-tokens // parts) - 1).bit_length())
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        losses = hidden.new_empty(tokens, dtype=torch.float32)
        logits = hidden.new_empty(at_once, vocabulary)
        loss = losses.sum()
        del logits, losses
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, _: Any) -> Any:
        return ctx.saved_tensors
