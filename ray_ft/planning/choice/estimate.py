"""One candidate's memory, time and cost as an Estimate; which candidates there are is candidates.py's."""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

from ray_ft.artifacts import Estimate, Workload
from ray_ft.hardware import GIB, Hardware
from ray_ft.hardware.gpus import Precision, automatic_precision
from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.compiled_layers import GATED
from ray_ft.planning.memory.host import host_memory_per_node
from ray_ft.planning.memory.phases import memory_per_gpu
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate
from ray_ft.planning.profile import DEFAULT, Profile
from ray_ft.planning.speed.throughput import (
    checkpoint_seconds,
    evaluation_seconds,
    num_steps,
    startup_seconds,
    step_time,
)
from ray_ft.strategies import Strategy

HOST_HEADROOM = 0.05  # of a node's memory, for the system


@dataclass(frozen=True)
class Job:
    """Everything an estimate depends on beside the candidate."""

    shape: ModelShape
    hardware: Hardware
    workload: Workload
    max_steps: int | None = None
    headroom_fraction: float = 0.02
    confidence: float = 0.95
    kernels: bool = True
    """Whether a GPU's workers compile, and have the `gpu` extra."""
    offload_activations: bool = True
    precision: Precision | None = None
    """What the model computes in; None for what suits the hardware."""
    profile: Profile = DEFAULT
    attention: str = ""
    """Kernel that attends on a GPU: flash2 or flash4; "" is the profile's."""
    num_evaluations: int = 4
    num_checkpoints: int = 10

    @cached_property
    def usable_bytes(self) -> int:
        """Memory of one GPU (of the host for "cpu") that a row may fill by its estimate.

        A row that does fits with `confidence`, as far as the profile's errors are normal, and leaves the headroom free.
        """
        sigmas = NormalDist().inv_cdf(self.confidence)
        return int(self.hardware.memory_bytes * (1 - self.headroom_fraction) / (1 + sigmas * self.profile.memory_error))

    @property
    def compute_precision(self) -> Precision:
        """What the model computes in."""
        return self.precision or automatic_precision(self.hardware.gpu)

    @cached_property
    def usable_host_bytes(self) -> int:
        """Host memory per node that a fitting row may fill."""
        return int(self.hardware.host_memory_bytes * (1 - HOST_HEADROOM))


def stack_for(candidate: Candidate, job: Job) -> Stack:
    """The loop on this hardware, as ray_ft/kernels sets it up: on a GPU Liger, and compiled layers below ZeRO-3;
    packed attention in 16 bits wherever there is bf16."""
    wide = job.compute_precision == "fp32"
    strategy, on_gpu = candidate.strategy, not job.hardware.is_cpu
    whole = strategy.zero_stage < 3  # ZeRO-3 gathers weights module by module, so layers are not compiled
    compiled = job.kernels and on_gpu and whole
    profile = job.profile
    return Stack(
        compute_bytes=4 if wide else 2,
        fused_loss=on_gpu and "lm_head" not in getattr(strategy, "target_modules", ()),
        masked_attention=on_gpu and (wide or not job.hardware.has_bf16),
        step_bytes=0 if compiled else 4,
        padding_factor=_reserved_ratio(candidate, profile),
        attention=job.attention,
        kernels=compiled,
        gated=compiled and job.shape.model_type in GATED,
        liger=on_gpu and not compiled,
        fused_adapters=_fuses(strategy),
        own_recomputation=whole,
        offload_activations=on_gpu and whole and job.offload_activations,
    )


def _reserved_ratio(candidate: Candidate, profile: Profile) -> float:
    if candidate.strategy.zero_stage == 3:
        return profile.reserved_ratio_zero3
    if candidate.strategy.is_adapter:
        return profile.reserved_ratio
    return profile.reserved_ratio_deepspeed if candidate.backend == "deepspeed" else profile.reserved_ratio_full


def _fuses(strategy: Strategy) -> bool:
    """Whether ray_ft/kernels computes this strategy's adapters itself."""
    plain = getattr(strategy, "lora_dropout", 0.0) == 0 and not getattr(strategy, "use_dora", False)
    if strategy.is_quantised:
        return plain and getattr(strategy, "bits", 4) == 4 and getattr(strategy, "double_quant", True)
    return plain


def estimate(candidate: Candidate, job: Job, *, detailed: bool = True) -> Estimate:
    """Memory, time and cost of a candidate, and whether it fits; `reason` says why not.

    `memory.parts` is left empty unless `detailed`.
    """
    shape, hardware, workload = job.shape, job.hardware, job.workload
    stack = stack_for(candidate, job)
    length, profile = workload.max_seq_len, job.profile
    memory = memory_per_gpu(
        shape,
        candidate,
        max_seq_len=length,
        stack=stack,
        on_cpu=hardware.is_cpu,
        profile=profile,
        detailed=detailed,
    )
    host_parts = host_memory_per_node(
        shape,
        candidate,
        hardware=hardware,
        stack=stack,
        worker_bytes=memory.total,
        max_seq_len=length,
        profile=profile,
    )
    host = sum(host_parts.values())
    seconds = sum(step_time(shape, candidate, hardware=hardware, workload=workload, stack=stack, profile=profile))
    hours = (num_steps(workload, job.max_steps) * seconds + _other_seconds(candidate, job, stack)) / 3600
    reason = ""
    if not hardware.is_cpu and memory.total > job.usable_bytes:
        reason = f"needs {gib(memory.total)} of {gib(job.usable_bytes)} GiB usable; binds at {memory.phase}"
    elif host > job.usable_host_bytes:
        what = f"; binds at {memory.phase}" if hardware.is_cpu else ""
        reason = f"needs {gib(host)} of {gib(job.usable_host_bytes)} GiB host memory{what}"
    return Estimate(
        strategy=candidate.strategy,
        num_workers=candidate.num_workers,
        micro_batch_size=candidate.micro_batch_size,
        gradient_accumulation_steps=candidate.gradient_accumulation_steps,
        gradient_checkpointing=candidate.gradient_checkpointing,
        memory=memory,
        host_memory_bytes=host,
        tokens_per_second=workload.global_batch_size * workload.max_seq_len / seconds,
        hours=hours,
        cost=hours * candidate.num_workers * hardware.price_per_hour,
        fits=not reason,
        reason=reason,
        gpu=hardware.gpu,
        host=host_parts,
        backend=candidate.backend,
    )


def as_candidate(row: Estimate) -> Candidate:
    """What a row is the estimate of."""
    return Candidate(
        row.strategy,
        row.num_workers,
        row.micro_batch_size,
        row.gradient_accumulation_steps,
        row.gradient_checkpointing,
        row.backend,
    )


def _other_seconds(candidate: Candidate, job: Job, stack: Stack) -> float:
    """Seconds of a run beside its steps: start, evaluations, and what checkpoints keep training waiting."""
    shape, hardware, profile = job.shape, job.hardware, job.profile
    held_out = job.workload.num_validation_tokens
    evaluations = job.num_evaluations and job.num_evaluations * evaluation_seconds(
        shape, candidate, hardware=hardware, num_tokens=held_out, stack=stack, profile=profile
    )
    checkpoint = checkpoint_seconds(shape, candidate, hardware=hardware, stack=stack, profile=profile)
    return startup_seconds(shape, hardware=hardware, profile=profile) + evaluations + job.num_checkpoints * checkpoint


def shortage(row: Estimate, job: Job) -> float:
    """Needed over usable memory, of the device or the host, whichever is worse; above 1 it does not fit."""
    device = 0.0 if job.hardware.is_cpu else row.memory.total / job.usable_bytes
    return max(device, row.host_memory_bytes / job.usable_host_bytes)


def gib(num_bytes: float) -> str:
    """GiB with one decimal."""
    return f"{num_bytes / GIB:.1f}"
