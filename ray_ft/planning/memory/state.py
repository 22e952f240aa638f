"""Weights, gradients and optimizer state of one candidate on one GPU, as the engines in training/ lay them out.

`ReplicatedEngine` (ZeRO-0) and `PartitionedEngine` (1 and 2) are the project's own; DeepSpeed has every stage, and it
alone splits weights (3) and offloads. Activations are activations.py's; phases.py puts both together.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ray_ft.artifacts.planning import RunsOn
from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.stack import Stack
from ray_ft.strategies import Backend, Strategy
from ray_ft.strategies.zero import BUCKET_BYTES, BUCKETS_IN_FLIGHT, OPTIMIZER_GROUP, UPDATE_ELEMENTS, zero_sizes

REDUCED_AT_ONCE = 500_000_000  # gradients that DeepSpeed's ZeRO-0 sums over the workers in one go


@dataclass(frozen=True)
class Candidate(RunsOn):
    """One way to run; its strategy has a fixed ZeRO stage and offload."""

    strategy: Strategy
    num_workers: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    backend: Backend = "native"


@lru_cache(maxsize=1024)
def trained_parameters(shape: ModelShape, strategy: Strategy) -> int:
    """Number of parameters that get gradients; a search asks for it with every candidate."""
    return strategy.trainable_parameters(shape)


class State(NamedTuple):
    """Bytes of weights, gradients and optimizer on one GPU, before any activation."""

    weights: int  # resident, with what ZeRO-3 keeps gathered
    load: int  # while the model is read
    kept_gradients: int  # between two micro-batches
    gradients: int  # at the end of a backward pass
    buckets: int  # gradients on their way to other workers, during the backward pass
    buffers: int  # of ZeRO, all the time
    optimizer: int
    first: int  # the optimizer's in the first step, before it has moments
    step: int  # more, while the optimizer steps


def state_bytes(shape: ModelShape, candidate: Candidate, *, stack: Stack, on_cpu: bool = False) -> State:
    """What ZeRO's stages leave on each GPU: 0 shards nothing, 1 the optimizer, 2 gradients too, 3 weights too."""
    # The size of a micro-batch changes nothing here, and a search asks for many.
    several = min(2, candidate.gradient_accumulation_steps)
    alike = Candidate(candidate.strategy, candidate.num_workers, 1, several, False, candidate.backend)
    return _state_bytes(shape, alike, stack, on_cpu)


@lru_cache(maxsize=4096)
def _state_bytes(shape: ModelShape, candidate: Candidate, stack: Stack, on_cpu: bool) -> State:
    strategy, workers, c = candidate.strategy, candidate.num_workers, stack.compute_bytes
    stage, offloaded = strategy.zero_stage, strategy.offload != "none"
    trained = strategy.trainable_parameters(shape)
    weights, load = _weight_state(shape, candidate, stack)

    shard = trained // workers if stage else trained
    optimizer = 0 if offloaded else stack.optimizer_bytes * shard
    step = 0 if offloaded else _step_bytes(shape, candidate, shard, stack)
    own = candidate.backend == "native"
    first = max(0, stack.optimizer_bytes - 8) * shard if own else optimizer  # DeepSpeed makes moments at once
    if own and stage:  # a bucket's share at a time
        step = stack.step_bytes * min(shard, BUCKET_BYTES)
    if stage == 0 and c == 4:  # plain fp32 training has no second copy of the weights
        optimizer, first, step = (stack.optimizer_bytes - 4) * trained, 0, 0
    kept, gradients = _gradient_state(candidate, trained, stack)
    if c == 4 or (own and sum_bytes(candidate, stack) == 4):
        step = 0
    buckets, buffers = _buffers(shape, candidate, stack, on_cpu=on_cpu)
    return State(weights, load, kept, gradients, buckets, buffers, optimizer, first, step)


def _weight_state(shape: ModelShape, candidate: Candidate, stack: Stack) -> tuple[int, int]:
    """Bytes of weights on one GPU: in training, and at most while the model is read."""
    strategy, workers, c = candidate.strategy, candidate.num_workers, stack.compute_bytes
    whole = strategy.weight_bytes(shape, compute_bytes=c)
    largest = c * max(shape.head_parameters, *(i * o for i, o in shape.linears.values()))
    quantised = strategy.dequantised_parameters(shape) > 0
    if strategy.zero_stage < 3 or not strategy.zero3_shards_base():
        return whole, whole + (largest if quantised else 0)
    held = shape.num_parameters + (strategy.trainable_parameters(shape) if strategy.is_adapter else 0)
    gathered = round(whole / held * zero_sizes(shape, strategy).live)
    on_gpu = 0 if strategy.offload == "all" and not quantised else whole // workers
    weights = on_gpu + min(whole, max(gathered, largest))  # what is gathered is a copy beside the own share
    # bitsandbytes quantises on the device, so the whole base passes through each GPU; ZeRO-3 splits bf16 as it loads.
    resident = 0 if strategy.offload == "all" else whole // workers
    return weights, whole + largest if quantised else resident + largest


def _buffers(shape: ModelShape, candidate: Candidate, stack: Stack, *, on_cpu: bool) -> tuple[int, int]:
    """Bytes for gradients on their way to other workers: during the backward pass, and all the time."""
    strategy, c = candidate.strategy, stack.compute_bytes
    if candidate.backend == "native":
        if strategy.zero_stage == 0:
            return 0, 0
        width, linears = sum_bytes(candidate, stack), shape.linears.values()
        matrix = width * sum(i * o for i, o in linears) // len(linears)
        flat = BUCKET_BYTES if strategy.is_adapter else max(BUCKET_BYTES, matrix)
        # Those in flight and one that fills, and what arrives of them.
        in_flight = (BUCKETS_IN_FLIGHT + 1) * flat * (candidate.num_workers + 1) // candidate.num_workers
        return min(in_flight, 2 * width * strategy.trainable_parameters(shape)), 0
    if strategy.zero_stage == 0 or _sums_apart(candidate, stack):
        width = c if strategy.zero_stage == 0 else 4
        return width * min(strategy.trainable_parameters(shape), REDUCED_AT_ONCE), 0
    bucket = c * zero_sizes(shape, strategy).reduce_bucket
    if strategy.zero_stage == 3:
        return 0, bucket
    # One fills while the other is on its way; what is offloaded passes through a buffer of its own.
    passing = 0 if strategy.offload == "none" else c * largest_trained(shape, strategy)
    return bucket * (1 if on_cpu else 2), passing


def _gradient_state(candidate: Candidate, trained: int, stack: Stack) -> tuple[int, int]:
    """Bytes of gradients on one GPU: between micro-batches (0 where there is one), and after the last of them.

    Stage 1 adds micro-batches up whole and keeps its share of the sum; stage 2 adds up shares, in fp32 from the second
    on; DeepSpeed's stage 3 has a place for its share all the time, and at stage 1 the 16-bit gradients of the last
    micro-batch, or of the only one, are there beside the sums.
    """
    strategy, c = candidate.strategy, stack.compute_bytes
    several, shard = candidate.gradient_accumulation_steps > 1, trained // candidate.num_workers
    width = sum_bytes(candidate, stack)
    if strategy.zero_stage == 0:
        return width * trained if several else 0, width * trained
    if strategy.offload != "none":
        return 0, 0
    if strategy.zero_stage == 1 and candidate.backend == "deepspeed":
        beside = c * trained if _sums_apart(candidate, stack) else width * shard
        return width * trained if several else 0, width * trained + beside
    if strategy.zero_stage == 1:
        return (width * trained, width * (trained + shard)) if several else (0, width * shard)
    if strategy.zero_stage == 2:
        return (4 * shard, 4 * shard) if several else (0, width * shard)
    return width * shard, width * shard


def _sums_apart(candidate: Candidate, stack: Stack) -> bool:
    """Whether it is DeepSpeed's ZeRO-1 for 16-bit weights whose gradients are summed in fp32."""
    ours = candidate.backend == "native" or candidate.strategy.zero_stage != 1 or candidate.strategy.offload != "none"
    return not ours and sum_bytes(candidate, stack) > stack.compute_bytes


def sum_bytes(candidate: Candidate, stack: Stack) -> int:
    """Width of a gradient's sum: fp32 over micro-batches, and in the project's engines for adapters over workers."""
    strategy, c = candidate.strategy, stack.compute_bytes
    several = candidate.gradient_accumulation_steps > 1
    if candidate.backend == "deepspeed":
        return 4 if several else c
    if strategy.is_adapter:
        return 4 if several or candidate.num_workers > 1 else c
    return 4 if several and strategy.zero_stage < 2 else c


def _step_bytes(shape: ModelShape, candidate: Candidate, shard: int, stack: Stack) -> int:
    """While the optimizer steps: gradients in fp32, of the parameters that are updated at once.

    DeepSpeed's stages 1 and 2 update a worker's whole shard at once, and first flatten its averaged gradients; at stage
    0 it has all gradients in 16 bits and in fp32.
    """
    stage, c = candidate.strategy.zero_stage, stack.compute_bytes
    summed = sum_bytes(candidate, stack) == 4
    if stage == 3:
        return 4 * min(shard, OPTIMIZER_GROUP)
    if stage == 0 and candidate.backend == "native":
        return stack.step_bytes * min(shard, max(UPDATE_ELEMENTS, shape.head_parameters))
    if stage == 0:
        return (c if summed else 4) * shard
    return (4 if summed else 4 + c) * shard


def largest_trained(shape: ModelShape, strategy: Strategy) -> int:
    """Parameters of the largest matrix that trains."""
    if strategy.trains_head(shape):
        return shape.head_parameters
    sizes = [shape.linears[name] for name in strategy.trained_linears(shape)]
    rank = getattr(strategy, "r", 0)
    return max((rank * max(size) if strategy.is_adapter else size[0] * size[1] for size in sizes), default=0)
