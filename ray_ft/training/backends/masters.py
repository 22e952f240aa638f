"""fp32 masters of 16-bit weights, and the AdamW step that brings both up to date without waiting for the device."""

from dataclasses import dataclass
from typing import Any

from ray_ft.kernels import adamw


@dataclass
class Chunk:
    """Parameters that are updated together, their fp32 masters (themselves in fp32) and the masters' optimizer."""

    parameters: list[Any]
    masters: list[Any]
    optimizer: Any


def update(chunk: Chunk, gradients: list[Any], *, divisor: Any, skipped: Any, learning_rate: float) -> None:
    """AdamW's fused kernel divides the gradients, and leaves everything as it was where `skipped` is 1."""
    import torch

    if adamw.can_update(chunk.masters, chunk.parameters):
        _update_in_one_pass(chunk, gradients, divisor=divisor, skipped=skipped, learning_rate=learning_rate)
        return
    copied = chunk.masters[0] is not chunk.parameters[0]
    there = [(m, gradient) for m, gradient in zip(chunk.masters, gradients, strict=True) if gradient is not None]
    if there and there[0][1].dtype != torch.float32:
        wide = [torch.empty_like(master) for master, _ in there]
        torch._foreach_copy_(wide, [gradient for _, gradient in there])
        there = [(master, gradient) for (master, _), gradient in zip(there, wide, strict=True)]
        gradients.clear()  # the 16-bit ones go as soon as they are in fp32
        for parameter in chunk.parameters:
            parameter.grad = None
    for master, gradient in there:
        master.grad = gradient
    optimizer = chunk.optimizer
    optimizer.grad_scale, optimizer.found_inf = divisor, skipped
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    for master in chunk.masters:
        master.grad = None
    if copied:
        torch._foreach_copy_(chunk.parameters, chunk.masters)


def _update_in_one_pass(
    chunk: Chunk, gradients: list[Any], *, divisor: Any, skipped: Any, learning_rate: float
) -> None:
    """The same with a kernel that also writes the model's weights and takes gradients of any dtype."""
    import torch

    (group,) = chunk.optimizer.param_groups
    group["lr"] = learning_rate
    triples = zip(chunk.parameters, chunk.masters, gradients, strict=True)
    there = [(p, master, gradient.contiguous()) for p, master, gradient in triples if gradient is not None]
    gradients.clear()
    states = [adam_state(chunk.optimizer, master) for _, master, _ in there]
    torch._foreach_add_([state["step"] for state in states], 1 - skipped)
    for (parameter, master, gradient), state in zip(there, states, strict=True):
        adamw.update(parameter, master, state, gradient, group=group, divisor=divisor, skipped=skipped)
        parameter.grad = None


def adam_state(optimizer: Any, master: Any) -> dict[str, Any]:
    """What torch.optim.AdamW would keep for a parameter, made at its first update."""
    import torch

    state: dict[str, Any] = optimizer.state[master]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=master.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(master), torch.zeros_like(master)
    return state


def make_chunk(groups: list[dict[str, Any]]) -> Chunk:
    import torch

    parameters = [p for group in groups for p in group["params"]]
    masters = [p if p.dtype == torch.float32 else p.detach().float() for p in parameters]
    of = {id(p): master for p, master in zip(parameters, masters, strict=True)}
    groups = [{**group, "params": [of[id(p)] for p in group["params"]]} for group in groups]
    return Chunk(parameters, masters, torch.optim.AdamW(groups, fused=True))
