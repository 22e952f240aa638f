"""Time of one candidate: arithmetic, dequantisation, communication and the optimizer, per step and for the whole run.

Where nothing was measured on a GPU, rates are those of published runs: of plain PyTorch with SDPA for eager layers, of
compiled ones for the project's kernels.
"""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

from ray_ft.artifacts import Workload
from ray_ft.hardware import Hardware
from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.activations import tokens_at_once
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate, trained_parameters
from ray_ft.planning.profile import DEFAULT, Profile
from ray_ft.strategies import Strategy

FLASH2_OF_FLASH4 = (0.276 + 0.788) / (0.495 + 1.409)  # rates there and back, H200: docs/benchmarks/training-h200.md
ATTENTION_EFFICIENCY = 0.5  # share of the peak, where nothing was measured: FlashAttention-2, there and back
TRAFFIC_EFFICIENCY = 0.85  # share of the memory's bandwidth, likewise
CPU_DEQUANTISE_RATE = 1e8  # parameters per second that bitsandbytes turns back from NF4 on a CPU
DEQUANTISE_BYTES = 4.75  # moved per parameter, at 45% of the memory's bandwidth
DEQUANTISE_LAUNCH = 0.08  # of a layer's launches: one dequantisation from Python
DEEPSPEED_WAITS = 0.15  # of a step of our own engines that DeepSpeed's ZeRO 0 to 2 take longer: full, two H200
HEAD_BANDWIDTH = 0.8  # of the memory's, in products of few tokens with the head
KERNEL_DEQUANTISE_BYTES = 2.52  # in one pass, at 71% of it: measured on an H200


def _attention_efficiency(stack: Stack, profile: Profile) -> float:
    """Share of the peak; a profile of the other kernel is converted by what both reach on an H200."""
    if profile.attention_efficiency is None:
        return ATTENTION_EFFICIENCY
    if stack.attention in ("", profile.attention):
        return profile.attention_efficiency
    return profile.attention_efficiency * (FLASH2_OF_FLASH4 if stack.attention == "flash2" else 1 / FLASH2_OF_FLASH4)


class StepTime(NamedTuple):
    """Seconds of one optimizer step."""

    compute: float
    dequantise: float
    communication: float
    optimizer: float
    other: float = 0.0  # reading rows, logging, waiting


def step_time(
    shape: ModelShape,
    candidate: Candidate,
    *,
    hardware: Hardware,
    workload: Workload,
    stack: Stack,
    profile: Profile = DEFAULT,
) -> StepTime:
    """Seconds of one optimizer step of one global batch."""
    micro_steps = candidate.gradient_accumulation_steps
    tokens = candidate.micro_batch_size * workload.max_seq_len
    again = candidate.gradient_checkpointing
    products, attention = _flops(shape, candidate.strategy, again, workload, stack)
    here = min(candidate.num_workers, hardware.gpus_per_node)
    peak = hardware.peak_flops / (here if hardware.is_cpu else 1)
    efficiency = _efficiency(hardware, stack, profile)
    compute = tokens * products / (peak * efficiency * _saturation(tokens))
    if stack.kernels:
        moved = traffic_per_token(shape, candidate.strategy, again=again, stack=stack)
        compute += tokens * attention / (peak * _attention_efficiency(stack, profile))
        bandwidth = hardware.memory_bandwidth * (profile.traffic_efficiency or TRAFFIC_EFFICIENCY)
        compute += tokens * moved / bandwidth
        compute += _loss_seconds(shape, candidate.strategy, tokens, hardware, peak * efficiency, stack)
    else:
        compute += tokens * attention / (peak * efficiency * _saturation(tokens))
    passes = 4 if candidate.gradient_checkpointing else 3
    if not hardware.is_cpu:
        compute = max(compute, passes * shape.num_layers * layer_launch_seconds(shape, candidate.strategy, profile))

    rate = CPU_DEQUANTISE_RATE if hardware.is_cpu else 0.45 * hardware.memory_bandwidth / DEQUANTISE_BYTES
    if stack.kernels:
        rate = profile.dequantise_rate or 0.71 * hardware.memory_bandwidth / KERNEL_DEQUANTISE_BYTES
    dequantise = (passes - 1) * candidate.strategy.dequantised_parameters(shape) / rate
    per_micro, per_step = communication(shape, candidate, hardware=hardware, stack=stack, profile=profile)
    found = StepTime(
        compute=micro_steps * compute,
        dequantise=micro_steps * dequantise,
        communication=micro_steps * per_micro + per_step,
        optimizer=optimizer_seconds(shape, candidate, hardware=hardware, profile=profile),
        other=profile.step_seconds,
    )
    if candidate.backend == "native" or candidate.strategy.zero_stage == 3:  # whose hooks are in its own figures
        return found
    return found._replace(other=found.other + DEEPSPEED_WAITS * sum(found))


def _efficiency(hardware: Hardware, stack: Stack, profile: Profile) -> float:
    """Share of the peak that products reach: alone with the kernels, with everything else of a layer without them."""
    if stack.kernels:
        return profile.efficiency or hardware.compiled_efficiency
    return profile.eager_efficiency or hardware.efficiency


@lru_cache(maxsize=4096)
def layer_launch_seconds(shape: ModelShape, strategy: Strategy, profile: Profile) -> float:
    """Of one layer and pass, while the GPU waits for the host; each 4-bit weight is a launch from Python more.

    Under ZeRO-3 DeepSpeed's hooks run for every module: 13 of a layer, and with adapters four for a linear layer.
    """
    linears = len(shape.linears)
    if strategy.zero_stage == 3:
        return profile.hook_seconds * (6 + linears * (4 if strategy.is_adapter else 1))
    quantised = linears if strategy.dequantised_parameters(shape) else 0
    return profile.launch_seconds * (1 + DEQUANTISE_LAUNCH * quantised)


def _loss_seconds(
    shape: ModelShape, strategy: Strategy, tokens: int, hardware: Hardware, rate: float, stack: Stack
) -> float:
    """What the head takes beyond its FLOPs where the loss goes through few tokens at once, as Liger's does.

    Every part reads the head's weights twice; where they train, their gradient is made, read, and added to the sum.
    """
    if not stack.fused_loss:
        return 0.0
    trains = strategy.trains_head(shape)
    parts = -(-tokens // tokens_at_once(shape, tokens))
    moved = parts * stack.compute_bytes * shape.head_parameters * (6 if trains else 2)
    counted = tokens * shape.head_parameters * (6 if trains else 4) / rate
    return max(0.0, moved / (HEAD_BANDWIDTH * hardware.memory_bandwidth) - counted)


@lru_cache(maxsize=4096)
def _flops(shape: ModelShape, strategy: Strategy, again: bool, workload: Workload, stack: Stack) -> tuple[float, float]:
    """FLOPs per token of weights and of attention, which a search asks for with many micro-batches."""
    weights = weight_flops_per_token(shape, strategy, again=again, stack=stack)
    return weights, attention_flops_per_token(shape, again=again, workload=workload, stack=stack)


def flops_per_token(shape: ModelShape, candidate: Candidate, *, workload: Workload, stack: Stack) -> float:
    """All of them, recomputed ones included."""
    return sum(_flops(shape, candidate.strategy, candidate.gradient_checkpointing, workload, stack))


def weight_flops_per_token(shape: ModelShape, strategy: Strategy, *, again: bool, stack: Stack) -> float:
    """2 per weight forward, 2 for the gradient of the layer's input, 2 for that of a weight that trains.

    Checkpointing repeats the layers' forward pass, less what nothing needs any more, the MLP's output, where our own
    keeps attention.
    """
    products = shape.layer_parameters + shape.head_parameters
    flops = 4.0 * products + (6.0 * trained_parameters(shape, strategy) if strategy.is_adapter else 2.0 * products)
    if not again:
        return flops
    down = shape.num_layers * shape.intermediate_size * shape.hidden_size if stack.keeps_attention else 0
    return flops + 2.0 * (shape.layer_parameters - down)


def attention_flops_per_token(shape: ModelShape, *, again: bool, workload: Workload, stack: Stack) -> float:
    """Forward 2 * 2 * positions * q per layer, half of it where the kernel skips what comes later; backward 2.5 times
    as much. Checkpointing repeats the forward pass, unless it keeps attention."""
    positions = workload.max_seq_len  # the mask of packed rows is computed in full
    causal = 1.0
    if not stack.masked_attention:
        positions = round(min(workload.mean_example_tokens or workload.max_seq_len, workload.max_seq_len))
        causal = 0.5
    forward = 4 * causal * positions * shape.query_size * shape.num_layers
    return (4.5 if again and not stack.keeps_attention else 3.5) * forward


@lru_cache(maxsize=4096)
def traffic_per_token(shape: ModelShape, strategy: Strategy, *, again: bool, stack: Stack) -> float:
    """Bytes of GPU memory that compiled layers read and write beside their large products.

    Of norms, residuals and rotations 10h + 2(q + k), of the gate 3f, backwards twice that; of an adapter the term that
    the frozen product adds itself to, 2 * outputs + inputs forwards and 3 * outputs + 2 * inputs backwards; and the
    logits, which are read and written twice.
    """
    h, f, layers = shape.hidden_size, shape.intermediate_size, shape.num_layers
    plain = 10 * h + 2 * (shape.query_size + shape.key_size) + 3 * f
    moved = (4 if again else 3) * plain
    if strategy.is_adapter:
        for name in strategy.trained_linears(shape):
            inputs, outputs = shape.linears.get(name, (h, shape.vocab_size))
            moved += 5 * outputs + 3 * inputs + (2 * outputs + inputs if again else 0)
    return float(stack.compute_bytes * (layers * moved + 4 * shape.vocab_size))


def needed_flops_per_token(shape: ModelShape, strategy: Strategy, *, workload: Workload) -> float:
    """What the method needs for a token, whatever the software: attention within examples, nothing computed twice."""
    once = Candidate(strategy, 1, 1, 1, gradient_checkpointing=False)
    return flops_per_token(shape, once, workload=workload, stack=Stack(masked_attention=False))


def communication(
    shape: ModelShape, candidate: Candidate, *, hardware: Hardware, stack: Stack, profile: Profile = DEFAULT
) -> tuple[float, float]:
    """Seconds of collectives and PCIe transfers, (per micro-batch, per step), that arithmetic does not hide.

    Between nodes a ring passes each node's network once, so the slower of the two links counts.
    """
    strategy, workers, c = candidate.strategy, candidate.num_workers, stack.compute_bytes
    trained = c * trained_parameters(shape, strategy)
    weights = strategy.weight_bytes(shape, compute_bytes=c)
    link = profile.link_bandwidth or hardware.interconnect_bandwidth
    if workers > hardware.gpus_per_node:
        link = min(link, profile.network_bandwidth or hardware.network_bandwidth)
    pcie = profile.pcie_bandwidth or hardware.pcie_bandwidth
    others = (workers - 1) / workers
    if strategy.zero_stage == 3:  # gather forward and backward, scatter gradients; half hides behind arithmetic
        per_micro, per_step = 0.5 * (2 * weights + trained) * others / link, 0.0
    elif strategy.zero_stage == 2:  # scatters gradients after every micro-batch
        per_micro, per_step = trained * others / link, trained * others / link
    else:  # all-reduce, or scatter and gather, once per step
        per_micro, per_step = 0.0, 2 * trained * others / link
    if strategy.offload != "none":  # gradients down, parameters up
        per_step += 2 * trained / workers / pcie
    if strategy.offload == "all":
        passes = 3 if candidate.gradient_checkpointing else 2
        per_micro += passes * weights / workers / pcie
    return per_micro, per_step


def optimizer_seconds(
    shape: ModelShape, candidate: Candidate, *, hardware: Hardware, profile: Profile = DEFAULT
) -> float:
    """AdamW reads and writes 28 bytes per parameter, in GPU memory or, offloaded, in the host's."""
    strategy = candidate.strategy
    shard = trained_parameters(shape, strategy) / (candidate.num_workers if strategy.zero_stage else 1)
    if strategy.offload == "none":
        return 28 * shard / (0.8 * hardware.memory_bandwidth)
    return 28 * shard * min(candidate.num_workers, hardware.gpus_per_node) / profile.host_bandwidth


def evaluation_seconds(
    shape: ModelShape, candidate: Candidate, *, hardware: Hardware, num_tokens: float, stack: Stack, profile: Profile
) -> float:
    """Seconds of one pass over the held-out rows: 2 FLOPs per weight and token."""
    peak = hardware.peak_flops * (1 if hardware.is_cpu else candidate.num_workers)
    efficiency = _efficiency(hardware, stack, profile)
    return 2 * (shape.layer_parameters + shape.head_parameters) * num_tokens / (peak * efficiency)


def checkpoint_seconds(
    shape: ModelShape, candidate: Candidate, *, hardware: Hardware, stack: Stack, profile: Profile
) -> float:
    """Seconds that training stands still for one checkpoint: what trains is copied to the host, from pageable memory
    at about a quarter of the link's rate; a thread writes it while training goes on."""
    trained = trained_parameters(shape, candidate.strategy)
    size = stack.optimizer_bytes * trained / candidate.num_workers
    return 4 * size / (profile.pcie_bandwidth or hardware.pcie_bandwidth)


def num_steps(workload: Workload, max_steps: int | None) -> int:
    """Optimizer steps of the run, from packed rows without padding."""
    rows = math.ceil(workload.num_tokens / workload.max_seq_len)
    return max_steps or max(1, math.ceil(workload.num_epochs * rows / workload.global_batch_size))


def startup_seconds(shape: ModelShape, *, hardware: Hardware, profile: Profile = DEFAULT) -> float:
    """Ray workers, imports and reading a 16-bit checkpoint; evaluations and checkpoints come on top."""
    return (15.0 if hardware.is_cpu else 60.0) + 2 * shape.num_parameters / profile.read_rate


def _saturation(tokens: int) -> float:
    """Share of the usual efficiency with few tokens in flight: 0.5 at 256, 0.6 at 512, 1 from 2048 on (A100, 7B)."""
    points = [(256, 0.5), (512, 0.6), (2048, 1.0)]
    if tokens <= points[0][0]:
        return 0.5
    for (low, at_low), (high, at_high) in itertools.pairwise(points):
        if tokens <= high:
            return at_low + (at_high - at_low) * math.log(tokens / low) / math.log(high / low)
    return 1.0
