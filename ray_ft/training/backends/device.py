"""What this rank computes on, and in which precision."""

import os
from typing import Any

from ray_ft.training.task import Precision, TrainingTask


def set_up_device(task: TrainingTask) -> tuple[Any, Precision]:
    """This rank's device, and the task's precision; whether they suit each other, all ranks ask together."""
    import torch

    if not task.use_gpu:
        # Ray's CPUs are what someone declared; more threads than cores would spend their time waiting for each other.
        cores = max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        torch.set_num_threads(min(task.num_threads, cores))
        return torch.device("cpu"), task.precision
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device, task.precision
