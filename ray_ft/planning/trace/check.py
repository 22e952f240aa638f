"""A plan's memory against a trace of the very model: where they differ by more than 2%, the larger counts.

The trace covers what the formulas of activations.py do: from the last layer's output to the end of the backward pass.
States of the optimizer and of ZeRO, loading, evaluation and overheads stay the plan's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ray_ft.artifacts import Estimate, Memory
from ray_ft.errors import ModelError
from ray_ft.hardware import GIB
from ray_ft.planning.choice.estimate import Job, as_candidate, estimate, stack_for
from ray_ft.planning.memory.stack import Stack
from ray_ft.planning.memory.state import Candidate, state_bytes
from ray_ft.planning.trace.process import run_trace
from ray_ft.planning.trace.request import Adapters, TraceRequest, TraceResult
from ray_ft.strategies import Strategy

TOLERANCE = 0.02  # of all memory; within it, formulas and trace agree
Trace = Callable[[TraceRequest], TraceResult]
PHASES = ("loss", "backward start", "backward end")


@dataclass(frozen=True)
class Check:
    """A row with what a trace found of it."""

    estimate: Estimate
    """With the larger memory where the two differ."""
    traced: int | None
    """Bytes on the device by the trace, at its worst phase; None where it could not be made."""
    note: str
    """For people."""


def check_estimate(row: Estimate, job: Job, *, config: Mapping[str, Any], run: Trace | None = None) -> Check:
    """Trace the row's model, whose config.json is given, with `run`; None takes a process of its own, or the cache."""
    if (why := _untraced(row.strategy, job)) and not job.shape.exact:
        raise ModelError(f"model.name: {job.shape.name} has no formulas, and {why} cannot be traced")
    if why:
        return Check(row, None, f"memory is by formula alone: {why} cannot be traced")
    if not row.memory.parts:
        row = replace(row, memory=estimate(as_candidate(row), job).memory)
    try:
        memory = trace_estimate(row, job, config=config, run=run)
    except ModelError as error:
        if not job.shape.exact:
            raise ModelError(f"model.name: {job.shape.name} has no formulas, and its trace failed: {error}") from None
        return Check(row, None, f"memory is by formula alone: the trace failed ({error})")
    if not job.shape.exact:
        kind = job.shape.model_type
        note = f"{kind} has no formulas: memory is by a trace of the model, and time a guess from its widths"
        return _checked(row, memory, memory.total, job, note)
    difference = memory.total / row.memory.total - 1
    said = f"{_gib(row.memory.total)} GiB by formula, {_gib(memory.total)} GiB by a trace of the model"
    if abs(difference) <= TOLERANCE:
        return Check(row, memory.total, f"memory checked: {said}")
    where = _where(row.memory, memory)
    larger = memory if difference > 0 else row.memory
    note = f"memory is uncertain: {said}, which differ most at {where}; the plan takes the larger"
    return _checked(row, larger, memory.total, job, note)


def _checked(row: Estimate, memory: Memory, traced: int, job: Job, note: str) -> Check:
    fits = job.hardware.is_cpu or memory.total <= job.usable_bytes
    reason = row.reason if fits else f"needs {_gib(memory.total)} of {_gib(job.usable_bytes)} GiB usable by a trace"
    return Check(replace(row, memory=memory, fits=row.fits and fits, reason=reason), traced, note)


def trace_estimate(row: Estimate, job: Job, *, config: Mapping[str, Any], run: Trace | None = None) -> Memory:
    """The row's memory with the traced phases in place of the plan's; ModelError where the model cannot be traced.

    `run` traces; None does it in a process of its own.
    """
    candidate = as_candidate(row)
    stack = stack_for(candidate, job)
    result = (run or run_trace)(_request(candidate, job, stack, config))
    return _traced_memory(row.memory, candidate, job, stack, result)


def _untraced(strategy: Strategy, job: Job) -> str:
    """What of the strategy the trace does not know; empty where it knows all."""
    if getattr(strategy, "use_dora", False):
        return "DoRA"
    if getattr(strategy, "train_embeddings", False) or job.shape.num_added_tokens:
        return "an adapter whose embeddings train"
    if "lm_head" in getattr(strategy, "target_modules", ()):
        return "an adapter on the output head"
    if getattr(strategy, "bits", 4) == 8:
        return "LLM.int8(), whose kernels need a GPU,"
    return ""


def _request(candidate: Candidate, job: Job, stack: Stack, config: Mapping[str, Any]) -> TraceRequest:
    strategy: Any = candidate.strategy
    adapters = None
    if strategy.is_adapter:
        bits = getattr(strategy, "bits", 16)
        targets = tuple(strategy.target_modules)
        adapters = Adapters(strategy.r, strategy.lora_dropout, targets, bits, getattr(strategy, "double_quant", False))
    return TraceRequest(
        config=dict(config),
        rows=candidate.micro_batch_size,
        max_seq_len=job.workload.max_seq_len,
        adapters=adapters,
        dtype="float32" if stack.compute_bytes == 4 else "bfloat16",
        packed=not stack.masked_attention,
        fused_loss=stack.fused_loss,
        compiled=stack.kernels,
        liger=stack.liger,
        gradients_leave=_gradients_leave(candidate),
        checkpointing=candidate.gradient_checkpointing,
        offloaded=candidate.gradient_checkpointing and stack.offload_activations,
        whole=strategy.zero_stage < 3,
    )


def _gradients_leave(candidate: Candidate) -> bool:
    """As gradients.py has it: one worker with nothing to add up leaves them where autograd puts them."""
    alone = candidate.num_workers == 1 and candidate.gradient_accumulation_steps == 1
    return candidate.strategy.zero_stage > 0 or not alone


def _traced_memory(memory: Memory, candidate: Candidate, job: Job, stack: Stack, result: TraceResult) -> Memory:
    """The plan's memory with the traced phases in place of its own."""
    layers = job.shape.num_layers
    state = state_bytes(job.shape, candidate, stack=stack, on_cpu=job.hardware.is_cpu)
    whole = candidate.strategy.weight_bytes(job.shape, compute_bytes=stack.compute_bytes)
    heavier = result.weights.at(layers) / whole
    leave = _gradients_leave(candidate)
    sums = {"backward end": max(state.kept_gradients, state.gradients)} if leave else {}
    parts, phases = dict(memory.parts), dict(memory.phases)
    for name in PHASES:
        own = memory.parts[name]
        traced = result.phases[name].at(layers)
        traced += state.buffers + (state.buckets if name != "loss" else 0)
        gradients = sums.get(name, state.kept_gradients) if leave else 0
        weights = round(own["weights"] * heavier)
        new = {"weights": weights, "gradients": gradients, "optimizer": own["optimizer"], "activations": traced}
        new |= {"logits": 0, "transient": 0}
        before = sum(size for part, size in own.items() if part != "fixed")
        added = sum(new.values()) - before
        phases[name] = memory.phases[name] + round(stack.padding_factor * added)
        parts[name] = {**new, "fixed": phases[name] - sum(new.values())}
    if "first step" in phases:  # the worst of them, before the optimizer has moments
        worst = max(PHASES, key=lambda name: phases[name])
        missing = round(stack.padding_factor * (parts[worst]["optimizer"] - memory.parts["first step"]["optimizer"]))
        phases["first step"] = phases[worst] - missing
        parts["first step"] = parts[worst] | {"optimizer": memory.parts["first step"]["optimizer"]}
    phase = max(phases, key=lambda name: phases[name])
    more = phases[phase] - memory.total
    inside = round(more / stack.padding_factor)
    return replace(
        memory,
        **parts[phase],
        total=phases[phase],
        phase=phase,
        phases=phases,
        parts=parts,
        allocated=memory.allocated + inside,
        reserved=memory.reserved + more,
        device=memory.device + more,
    )


def _where(ours: Memory, traced: Memory) -> str:
    name = max(PHASES, key=lambda name: abs(ours.phases[name] - traced.phases[name]))
    return f"{name} ({_gib(ours.phases[name])} and {_gib(traced.phases[name])} GiB)"


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"
