"""Why each row of a plan lost, and what would make one fit that does not."""

from dataclasses import replace

from ray_ft.artifacts import Estimate, Plan
from ray_ft.hardware import GIB, GPUS, gpu_hardware
from ray_ft.planning.choice.estimate import Job, estimate, gib
from ray_ft.planning.memory.state import Candidate
from ray_ft.planning.profile import profile_for
from ray_ft.planning.speed.throughput import DEEPSPEED_WAITS

SHORTEST_ROW = 256
MOST_GPUS = 64


def reason(row: Estimate, chosen: Estimate, *, job: Job, objective: str) -> str:
    """Why a row lost: it does not fit (and what would help), it costs more (and what for), or it only adds machinery.

    `job` is that of the row's GPUs.
    """
    if not row.fits:
        remedies = _remedies(row, job)
        return f"{row.reason}; would fit {' or '.join(remedies)}" if remedies else row.reason
    if objective == "memory":
        return f"fits, needs {gib(row.memory.total)} instead of {gib(chosen.memory.total)} GiB"
    ours, theirs = (row.cost, chosen.cost) if objective == "cost" and chosen.cost > 0 else (row.hours, chosen.hours)
    verb = "costs" if objective == "cost" and chosen.cost > 0 else "takes"
    ratio = ours / theirs
    cause = _cause(row, chosen)
    slower = row.hours / chosen.hours
    if slower >= 1.05 and ratio < 1.005:
        saved = f"saves {100 * (1 - ratio):.0f}%" if ratio < 0.995 else "costs the same"
        return f"fits, {saved} but takes {_times(slower)} as long"
    if ratio < 1.005:
        return f"fits, no better: {cause or 'the chosen row is simpler'}"
    return f"fits, {verb} {_times(ratio)}{f': {cause}' if cause else ''}"


def why_backend(row: Estimate | Plan, *, asked: str) -> str:
    """Who runs the steps of a row, and why."""
    strategy = row.strategy
    if strategy.needs_deepspeed:
        return f"deepspeed: it alone {'splits weights over workers' if strategy.zero_stage == 3 else 'offloads'}"
    if asked != "auto":
        return f"{row.backend}, as train.backend says"
    faster = f"{1 + DEEPSPEED_WAITS:.2f} times as fast as DeepSpeed, measured with full tuning on two H200"
    return f"{row.backend}: our own engines of ZeRO 0 to 2 are {faster}; train.backend=deepspeed takes that"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 1.1 else f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"


def _cause(row: Estimate, chosen: Estimate) -> str:
    """What a fitting row spends that the chosen one does not."""
    strategy, other = row.strategy, chosen.strategy
    if row.gpu != chosen.gpu:
        return f"{row.num_workers} x {row.gpu} instead of {chosen.num_workers} x {chosen.gpu}"
    if row.backend != chosen.backend and strategy == other:
        return "waits for the GPU in every step"
    if strategy.offload != "none" and other.offload == "none":
        return f"moves {'all weights' if strategy.offload == 'all' else 'the optimizer'} over PCIe"
    if strategy.zero_stage == 3 and other.zero_stage < 3 and row.num_workers > 1:
        return f"gathers the {'base' if strategy.is_adapter else 'weights'} each pass"
    if not strategy.is_adapter and other.is_adapter:
        return "every weight has gradients"
    if strategy.name != other.name and strategy.name == "qlora":
        return "dequantises the base each pass"
    if strategy.zero_stage == 2 and other.zero_stage < 2 and row.gradient_accumulation_steps > 1:
        return "reduces gradients per micro-batch"
    if strategy.zero_stage > other.zero_stage and row.num_workers > 1:
        return "shards what fits whole"
    if row.gradient_checkpointing and not chosen.gradient_checkpointing:
        return "computes activations twice"
    return ""


def _remedies(row: Estimate, job: Job) -> list[str]:
    """Single changes after which the same strategy, stage and offload fit: shorter rows, more GPUs, larger ones."""
    found = []
    length = job.workload.max_seq_len // 2
    while length >= SHORTEST_ROW:
        if _fits(row, replace(job, workload=replace(job.workload, max_seq_len=length))):
            found.append(f"with max_seq_len={length}")
            break
        length //= 2
    hardware = job.hardware
    if hardware.is_cpu:
        return found
    count = 2 * row.num_workers
    while row.strategy.zero_stage and count <= min(MOST_GPUS, job.workload.global_batch_size):
        more = gpu_hardware(hardware.gpu, max(count, hardware.num_gpus), gpus_per_node=hardware.gpus_per_node)
        if _fits(replace(row, num_workers=count), replace(job, hardware=more)):
            found.append(f"on {count} GPUs")
            break
        count *= 2
    for name in sorted((n for n in GPUS if GPUS[n].gib > hardware.memory_bytes / GIB), key=lambda n: GPUS[n].gib):
        larger = gpu_hardware(name, hardware.num_gpus, gpus_per_node=hardware.gpus_per_node)
        if _fits(row, replace(job, hardware=larger, profile=profile_for(name))):
            found.append(f"on {row.num_workers} x {name}")
            break
    return found[:2]


def _fits(row: Estimate, job: Job) -> bool:
    """Whether the row would, in its smallest form: one row at a time, activations recomputed if that is open."""
    rows = job.workload.global_batch_size // row.num_workers
    again = Candidate(row.strategy, row.num_workers, 1, max(1, rows), row.gradient_checkpointing, row.backend)
    return estimate(again, job, detailed=False).fits
