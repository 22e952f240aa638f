"""What a run takes of a GPU's memory beside what the plan said, and the line that says so when there was too little."""

import sys
from typing import Any

from ray_ft.training.task import TrainingTask

GIB = 2**30


def peak_memory(task: TrainingTask, *, device: Any) -> dict[str, float]:
    """Most that this process has taken of the device so far, and what the plan said, in GiB.

    On a GPU also what tensors took of it; on a CPU the process's resident memory is all that there is to see.
    """
    import torch

    if device.type != "cuda":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB on Linux
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return {"peak_memory_gib": resident / GIB, "planned_memory_gib": task.planned_bytes / GIB}
    # The plan counts the driver's context and NCCL's buffers too, which torch knows nothing of; mem_get_info does.
    free, total = torch.cuda.mem_get_info(device)
    outside = max(0, total - free - torch.cuda.memory_reserved(device))
    peak = torch.cuda.max_memory_reserved(device) + outside
    return {
        "peak_memory_gib": peak / GIB,
        "peak_allocated_gib": torch.cuda.max_memory_allocated(device) / GIB,
        "planned_memory_gib": task.planned_bytes / GIB,
    }


def out_of_memory(task: TrainingTask, *, place: str, rank: int, device: Any) -> str:
    """The line for a GPU that was too small, from the rank whose GPU it was; `place` is where in the run."""
    import torch

    used = ""
    if device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        used = (
            f" {torch.cuda.memory_allocated(device) / GIB:.1f} GiB were allocated and"
            f" {torch.cuda.memory_reserved(device) / GIB:.1f} reserved of {total / GIB:.1f} GiB,"
            f" at most {torch.cuda.max_memory_allocated(device) / GIB:.1f} allocated so far."
        )
    planned = f"The plan counted on {task.planned_bytes / GIB:.1f} GiB ({task.planned_phase})."
    return f"out of GPU memory in {place} on rank {rank}. {planned}{used} {ways_out(task)}"


def ways_out(task: TrainingTask) -> str:
    """What would need less, the cheapest change first."""
    ways = []
    if task.micro_batch_size > 1:
        ways.append(f"train.micro_batch_size={max(1, task.micro_batch_size // 2)} (now {task.micro_batch_size})")
    if not task.gradient_checkpointing:
        ways.append("train.gradient_checkpointing=true")
    if not task.strategy.is_adapter:
        ways.append("train.strategy.name=lora")
    elif not task.strategy.is_quantised:
        ways.append("train.strategy.name=qlora")
    if task.strategy.zero_stage < 3:
        ways.append("train.strategy.zero_stage=3 on more GPUs")
    ways.append("a smaller model.max_seq_len")
    return f"Try {', or '.join([', '.join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)}."
