"""Memory of one candidate: what each phase of a training step holds on the device, and what lives on the host.

A run must survive its worst phase, so the peak is the largest phase, not the sum of all parts. The sizes follow what
the two engines allocate: fp32 master weights and two Adam moments for every parameter that trains.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ray_ft.artifacts import Memory
from ray_ft.hardware import GIB, Hardware
from ray_ft.model_shape import ModelShape
from ray_ft.planning.activations import (
    LAYERS_IN_TRANSIT,
    Stack,
    checkpoint_bytes,
    evaluation_loss_bytes,
    layer_bytes,
    loss_bytes,
    recompute_bytes,
    tail_bytes,
)
from ray_ft.planning.profile import DEFAULT, Profile
from ray_ft.strategies import Strategy
from ray_ft.strategies.zero import OPTIMIZER_GROUP, UPDATE_ELEMENTS, zero_sizes

CPU_PROCESS = GIB  # a worker's Python with torch, transformers and DeepSpeed loaded


@dataclass(frozen=True)
class Candidate:
    """One way to run; its strategy has a fixed ZeRO stage and offload."""

    strategy: Strategy
    num_workers: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool


class Parts(NamedTuple):
    """Bytes that one phase holds."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    transient: int


class State(NamedTuple):
    """Bytes of weights, gradients and optimizer on one GPU, before any activation."""

    weights: int  # resident, with what ZeRO-3 keeps gathered
    load: int  # while the model is read
    kept_gradients: int  # between two micro-batches
    gradients: int  # at the end of a backward pass
    buckets: int  # gradients on their way to other workers
    optimizer: int
    step: int  # more, while the optimizer steps


def memory_per_gpu(
    shape: ModelShape,
    candidate: Candidate,
    *,
    max_seq_len: int,
    stack: Stack,
    on_cpu: bool = False,
    profile: Profile = DEFAULT,
) -> Memory:
    """Bytes on one GPU (or of one worker process on CPU) at the phase that binds, and the total of every phase.

    `fixed` holds the CUDA context, NCCL's buffers and what the allocator reserves beyond what it hands out.
    """
    state = state_bytes(shape, candidate, stack=stack, on_cpu=on_cpu)
    phases = _phases(shape, candidate, state, max_seq_len=max_seq_len, stack=stack)
    nccl = profile.nccl_bytes if candidate.num_workers > 1 else 0
    context = CPU_PROCESS if on_cpu else profile.context_bytes + nccl
    totals = {name: round(sum(parts) * stack.padding_factor) + context for name, parts in phases.items()}
    worst = max(totals, key=lambda name: totals[name])
    parts = phases[worst]
    return Memory(*parts, fixed=totals[worst] - sum(parts), total=totals[worst], phase=worst, phases=totals)


def state_bytes(shape: ModelShape, candidate: Candidate, *, stack: Stack, on_cpu: bool = False) -> State:
    """What ZeRO's stages leave on each GPU: 0 shards nothing, 1 the optimizer, 2 gradients too, 3 weights too."""
    strategy, workers, c = candidate.strategy, candidate.num_workers, stack.compute_bytes
    stage, offloaded = strategy.zero_stage, strategy.offload != "none"
    trained = strategy.trainable_parameters(shape)
    whole = strategy.weight_bytes(shape, compute_bytes=c)
    largest = c * max(shape.head_parameters, *(i * o for i, o in shape.linears.values()))
    sharded = stage == 3 and strategy.zero3_shards_base()
    quantised = strategy.dequantised_parameters(shape) > 0

    weights = whole
    if sharded:
        held = shape.num_parameters + (trained if strategy.is_adapter else 0)
        gathered = round(whole / held * zero_sizes(shape, strategy).live)
        on_gpu = 0 if strategy.offload == "all" and not quantised else whole // workers
        weights = min(whole, on_gpu + max(gathered, largest))
    # bitsandbytes quantises on the device, so the whole base passes through each GPU; ZeRO-3 splits bf16 as it loads.
    resident = 0 if sharded and strategy.offload == "all" else whole // workers
    load = whole + largest if quantised else resident + largest if sharded else whole

    if stage == 0 and c == 4:  # plain fp32 training has no second copy of the weights
        optimizer, step = (stack.optimizer_bytes - 4) * trained, 0
    else:
        shard = trained // workers if stage else trained
        optimizer = 0 if offloaded else stack.optimizer_bytes * shard
        step = 0 if offloaded else _step_bytes(shape, stage, shard, stack)
    gradients = c * (trained if stage < 2 else 0 if offloaded else trained // workers)
    if _sums_in_fp32(candidate, stack):
        gradients, step = 4 * trained, 0
    bucket = 0
    if stage > 0:  # under stages 1 and 2 one fills while the other is on its way
        bucket = c * zero_sizes(shape, strategy).reduce_bucket * (1 if stage == 3 or on_cpu else 2)
    return State(weights, load, gradients, gradients, bucket, optimizer, step)


def _sums_in_fp32(candidate: Candidate, stack: Stack) -> bool:
    """ZeRO-0 adds 16-bit gradients up in fp32, over micro-batches, and over workers where they are few."""
    if candidate.strategy.zero_stage != 0 or stack.compute_bytes == 4:
        return False
    return candidate.gradient_accumulation_steps > 1 or (candidate.strategy.is_adapter and candidate.num_workers > 1)


def _step_bytes(shape: ModelShape, stage: int, shard: int, stack: Stack) -> int:
    """While the optimizer steps: gradients in fp32, of the parameters that are updated at once.

    Stages 1 and 2 update a worker's whole shard at once, and first flatten its averaged gradients.
    """
    if stage == 3:
        return stack.step_bytes * min(shard, OPTIMIZER_GROUP)
    if stage == 0:
        return stack.step_bytes * min(shard, max(UPDATE_ELEMENTS, shape.head_parameters))
    return (stack.step_bytes + stack.compute_bytes) * shard


def _phases(
    shape: ModelShape, candidate: Candidate, state: State, *, max_seq_len: int, stack: Stack
) -> dict[str, Parts]:
    strategy, c = candidate.strategy, stack.compute_bytes
    tokens = candidate.micro_batch_size * max_seq_len
    one_layer = recompute_bytes(shape, strategy, stack, max_seq_len) * tokens
    tail = tail_bytes(shape, strategy, stack, max_seq_len) * tokens
    if candidate.gradient_checkpointing:
        kept_per_layer = checkpoint_bytes(shape, stack) * tokens
    else:
        kept_per_layer = layer_bytes(shape, strategy, stack, max_seq_len) * tokens
        one_layer -= kept_per_layer
    offloaded = candidate.gradient_checkpointing and stack.offload_activations
    kept = kept_per_layer * (min(LAYERS_IN_TRANSIT, shape.num_layers) if offloaded else shape.num_layers)
    dequantised = c * max(i * o for i, o in shape.linears.values()) if strategy.dequantised_parameters(shape) else 0
    carried = state.kept_gradients if candidate.gradient_accumulation_steps > 1 else 0
    head = c * shape.head_parameters if strategy.trains_head(shape) else 0
    if _sums_in_fp32(candidate, stack):
        first = carried + head  # its 16-bit gradient, until it is added to the sums
    else:
        first = max(carried, head) if strategy.zero_stage < 2 else carried + max(0, head - state.buckets)
    peak_loss = loss_bytes(shape, stack, tokens)
    evaluation = evaluation_loss_bytes(shape, stack, tokens)
    passing = dequantised + state.buckets + strategy.transient_bytes(shape, compute_bytes=c)
    sharded = strategy.zero_stage == 3  # stages 1 and 2 free their buckets after the backward pass
    w, o = state.weights, state.optimizer
    return {
        "load": Parts(state.load, 0, 0, 0, 0, 0),
        "loss": Parts(w, carried, o, kept + tail, peak_loss, passing),
        "backward start": Parts(w, first, o, kept + tail + one_layer, 0, passing),
        "backward end": Parts(w, state.gradients, o, kept_per_layer + one_layer, 0, passing),
        "optimizer step": Parts(w, state.gradients, o, 0, 0, state.step + (state.buckets if sharded else 0)),
        "evaluation": Parts(w, 0, o, one_layer + c * shape.hidden_size * tokens, evaluation, passing - state.buckets),
    }


def host_memory_per_node(
    shape: ModelShape,
    candidate: Candidate,
    *,
    hardware: Hardware,
    stack: Stack,
    worker_bytes: int,
    max_seq_len: int,
    profile: Profile = DEFAULT,
) -> int:
    """Bytes of host memory that one node needs: processes, offloaded state and what loading passes through.

    `worker_bytes` is one worker's memory on CPU hardware, where the host's memory is the memory. Ray's object store is
    left out: training reads packed rows by memory map and puts nothing into it.
    """
    strategy = candidate.strategy
    here = min(candidate.num_workers, hardware.gpus_per_node)
    if hardware.is_cpu:
        return profile.node_bytes // 2 + here * worker_bytes
    trained, c = strategy.trainable_parameters(shape), stack.compute_bytes
    node = profile.node_bytes + here * profile.process_bytes
    if candidate.gradient_checkpointing and stack.offload_activations:
        tokens = candidate.micro_batch_size * max_seq_len
        node += here * shape.num_layers * checkpoint_bytes(shape, stack) * tokens
    if strategy.offload != "none":  # master, gradient and moments of this node's shards
        shard = trained / (candidate.num_workers if strategy.zero_stage else 1)
        node += round((stack.optimizer_bytes + 4) * shard * here)
    if strategy.offload == "all":
        node += round(strategy.weight_bytes(shape, compute_bytes=c) * here / candidate.num_workers)
    if strategy.zero_stage == 3 and not strategy.dequantised_parameters(shape):
        node += c * shape.num_parameters  # rank 0 reads the checkpoint into host memory and sends out the shards
    return node
