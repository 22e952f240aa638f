"""The worker's own loop without Ray, on a CPU or a GPU: what a task ends in, and a worker alone in this process."""

import os
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ray_ft.training.task import TrainingTask
from ray_ft.training.worker import fit

Fault = Callable[[int], AbstractContextManager[dict[str, Any]]]
"""Given a rank, does harm while the context lasts; yields keyword arguments for `fit`."""


def outcome_of(task: TrainingTask, limit: int | None, fault: Fault | None, *, rank: int) -> Any:
    """What the loop returns, or the exception that it raised; `limit` is the largest file, in bytes, that it writes."""
    import resource

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        with nullcontext({}) if fault is None else fault(rank) as options:
            return fit(task, report=lambda *_: None, **options)
    except Exception as error:
        own = type(error).__module__ == "ray_ft.errors"
        return error if own else RuntimeError(traceback.format_exc())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


def run_alone(tasks: list[TrainingTask]) -> list[Any]:
    """The outcome of each task, with one worker; all of them use a GPU, or none."""
    import torch
    from torch.distributed import TCPStore

    num_threads, environment = torch.get_num_threads(), dict(os.environ)
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}  # DeepSpeed reads them
    store = TCPStore("127.0.0.1", 0, world_size=1, is_master=True)  # the kind that Ray's workers have
    backend = "nccl" if tasks[0].use_gpu else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        return [outcome_of(task, None, None, rank=0) for task in tasks]
    finally:
        torch.distributed.destroy_process_group()
        torch.set_num_threads(num_threads)
        os.environ.clear()
        os.environ.update(environment)
