"""Memory of one candidate: what each phase of a run holds on the device.

A run must survive its worst phase, so the peak is the largest phase, not the sum of all parts. Weights, gradients and
optimizer are state.py's, activations activations.py's.
"""

from typing import NamedTuple

from ray_ft.artifacts import Memory
from ray_ft.hardware import GIB
from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.activations import (
    Activations,
    activations,
    evaluation_loss_bytes,
    loss_bytes,
    tail_bytes,
)
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate, State, largest_trained, state_bytes, sum_bytes
from ray_ft.planning.profile import DEFAULT, Profile

LAUNCHES_AHEAD = 1024  # kernels that the driver queues before it makes the host wait
LAYER_LAUNCHES = 22  # of a layer's forward pass; an adapter and a dequantisation of a linear layer add to them
ADAPTER_LAUNCHES, DEQUANTISE_LAUNCHES = 1.2, 0.6
WAITING_SHARE = 0.7  # of what waits for its copy, into which a whole model's gradients do not fit
CPU_PROCESS = GIB  # a worker's Python with torch, transformers and DeepSpeed loaded


class Parts(NamedTuple):
    """Bytes that one phase holds."""

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    logits: int = 0
    transient: int = 0


def memory_per_gpu(
    shape: ModelShape,
    candidate: Candidate,
    *,
    max_seq_len: int,
    stack: Stack,
    on_cpu: bool = False,
    profile: Profile = DEFAULT,
    detailed: bool = True,
) -> Memory:
    """Bytes on one GPU (or of one worker process on CPU) at the phase that binds, and the total of every phase.

    `fixed` holds the CUDA context, NCCL's buffers, cuBLAS's workspace and what the allocator reserves beyond what it
    hands out. `total` must be there; `device` is what a GPU with room to spare will show.
    `parts` is left empty unless `detailed`.
    """
    state = state_bytes(shape, candidate, stack=stack, on_cpu=on_cpu)
    held = layer_activations(shape, candidate, stack=stack, max_seq_len=max_seq_len)
    phases = _phases(shape, candidate, state, held, max_seq_len=max_seq_len, stack=stack)
    nccl = profile.nccl_bytes if candidate.num_workers > 1 else 0
    context = CPU_PROCESS if on_cpu else profile.context_bytes + nccl
    workspace = 0 if on_cpu else profile.workspace_bytes
    allocated = {name: sum(parts) + workspace for name, parts in phases.items()}
    needed = min(stack.padding_factor, profile.needed_ratio)
    totals = {name: round(size * needed) + context for name, size in allocated.items()}
    worst = max(reversed(totals), key=lambda name: totals[name])  # a first step that needs no less is not the news
    parts = phases[worst]
    reserved = _reserved(shape, candidate, allocated, held, ratio=stack.padding_factor)
    return Memory(
        *parts,
        fixed=totals[worst] - sum(parts),
        total=totals[worst],
        phase=worst,
        phases=totals,
        allocated=allocated[worst],
        reserved=reserved,
        device=reserved + context,
        parts={n: {**p._asdict(), "fixed": totals[n] - sum(p)} for n, p in phases.items()} if detailed else {},
    )


def _reserved(
    shape: ModelShape, candidate: Candidate, allocated: dict[str, int], held: Activations, *, ratio: float
) -> int:
    """What torch reserves with room to spare.

    The host runs ahead of the copies of offloaded activations, as far as the driver queues its kernels, and what it has
    handed to a copy cannot serve again before that is done. The backward pass of adapters finds room in that, the
    gradients of a whole model in a part of it only, as most are larger.
    """
    peak = max(allocated.values())
    if not held.held:
        return round(peak * ratio)
    strategy = candidate.strategy
    adapted = len(strategy.trained_linears(shape)) if strategy.is_adapter else 0
    quantised = len(shape.linears) if strategy.dequantised_parameters(shape) else 0
    launches = LAYER_LAUNCHES + ADAPTER_LAUNCHES * adapted + DEQUANTISE_LAUNCHES * quantised
    waiting = round(held.held * min(1.0, LAUNCHES_AHEAD / launches / shape.num_layers))
    if not strategy.is_adapter:
        return round(peak * ratio + WAITING_SHARE * waiting)
    return round(ratio * max(peak, max(allocated["evaluation"], allocated["loss"]) + waiting))


def layer_activations(shape: ModelShape, candidate: Candidate, *, stack: Stack, max_seq_len: int) -> Activations:
    """What the decoder layers hold, with the weight gradients that a layer has made and not yet handed on."""
    strategy, c = candidate.strategy, stack.compute_bytes
    fresh = (0, 0)
    if not strategy.is_adapter:
        down = c * shape.hidden_size * shape.intermediate_size
        fresh = (down, 3 * down) if stack.kernels else (down, down)
    return activations(
        shape,
        strategy,
        stack,
        tokens=candidate.micro_batch_size * max_seq_len,
        seq_len=max_seq_len,
        checkpointing=candidate.gradient_checkpointing,
        fresh=fresh,
    )


def _phases(
    shape: ModelShape, candidate: Candidate, state: State, held: Activations, *, max_seq_len: int, stack: Stack
) -> dict[str, Parts]:
    strategy, c = candidate.strategy, stack.compute_bytes
    tokens = candidate.micro_batch_size * max_seq_len
    tail = tail_bytes(shape, strategy, stack, max_seq_len) * tokens
    carried = state.kept_gradients
    head = c * shape.head_parameters if strategy.trains_head(shape) else 0
    first, last = _gradients_at_ends(shape, candidate, state, head=head, stack=stack)
    dequantised = c * max(i * o for i, o in shape.linears.values()) if strategy.dequantised_parameters(shape) else 0
    passing = dequantised + state.buffers + strategy.transient_bytes(shape, compute_bytes=c)
    w, o = state.weights, state.optimizer
    early = carried + (head if stack.fused_loss else 0)  # Liger makes the head's gradient as it goes forward
    logits, no_gradients = loss_bytes(shape, stack, tokens), evaluation_loss_bytes(shape, stack, tokens)
    ends = c * shape.hidden_size * tokens  # the gradient of the first layer's input
    # A weight in 16 bits is gone before the MLP's gradients take the most: two tensors of its width come after it.
    spare = 2 * c * shape.intermediate_size * tokens if stack.gated and stack.fused_adapters else 0
    down = passing + state.buckets - min(dequantised, spare)
    phases = {
        "loss": Parts(w, early, o, held.kept + tail, logits, passing),
        "backward start": Parts(w, first, o, held.start, 0, down),
        "backward end": max(
            Parts(w, last, o, held.end, 0, down), Parts(w, state.gradients, o, ends, 0, down + _embedding_bytes(
                shape, candidate, head=head, stack=stack)), key=sum
        ),
    }  # fmt: skip
    worst = max(phases.values(), key=sum)
    gathered = c * largest_trained(shape, strategy) if strategy.zero_stage == 3 else 0
    return {
        "load": Parts(weights=state.load),
        "first step": worst._replace(optimizer=state.first),
        **phases,
        "optimizer step": Parts(w, state.gradients, o, 0, 0, state.step + state.buffers),
        "evaluation": Parts(w, carried, o, held.evaluation, no_gradients, passing),
        "checkpoint save": Parts(w, carried, o, 0, 0, state.buffers + gathered),
    }


def _gradients_at_ends(
    shape: ModelShape, candidate: Candidate, state: State, *, head: int, stack: Stack
) -> tuple[int, int]:
    """Bytes of gradients beside a layer's own fresh ones, while the last and while the first layer runs backwards.

    The gradient of a tied head waits for the embedding's, which comes last of all.
    """
    strategy, c = candidate.strategy, stack.compute_bytes
    layer = 0 if strategy.is_adapter else c * shape.layer_parameters // shape.num_layers
    waits = head if shape.tied else 0
    if strategy.zero_stage > 0 or state.kept_gradients:
        # Sums have a place of their own, into which gradients go as they come.
        return state.kept_gradients + head, max(state.kept_gradients, state.gradients) + waits
    first = head * (2 if sum_bytes(candidate, stack) > c else 1)
    return first, max(0, state.gradients - (0 if waits else head) - layer)


def _embedding_bytes(shape: ModelShape, candidate: Candidate, *, head: int, stack: Stack) -> int:
    """More gradients when the embedding's has come: its copy on the way into sums, and the tied head's beside it."""
    wide = sum_bytes(candidate, stack) > stack.compute_bytes
    moves = candidate.num_workers > 1 or candidate.strategy.zero_stage > 0 or wide
    return head * (int(moves) + int(shape.tied))
