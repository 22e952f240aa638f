"""Whether all workers of a run compute on one kind of device and in one precision, asked before weights are loaded.

Else the slowest would set the pace and the smallest the memory, and ranks that round differently would drift apart, or
wait for gradients of another width until the watchdog ends them.
"""

import socket
from typing import Any

from ray_ft.errors import ConfigError
from ray_ft.hardware import catalogue_name
from ray_ft.training.task import Precision


def check_devices(device: Any, precision: Precision) -> None:
    """On all ranks: raise the same ConfigError where one of them has another kind of device or precision."""
    import torch.distributed as dist

    everyone: list[tuple[str, str]] = [("", "")] * dist.get_world_size()
    dist.all_gather_object(everyone, (socket.gethostname(), f"{_kind(device)} in {precision}"))
    if (problem := what_differs(everyone)) is not None:
        raise ConfigError(problem)


def what_differs(everyone: list[tuple[str, str]]) -> str | None:
    """One line on the ranks and what each kind is, of every rank's machine and kind; None where all have the same."""
    kinds = list(dict.fromkeys(kind for _, kind in everyone))
    if len(kinds) == 1:
        return None
    parts = []
    for kind in kinds:
        ranks = [rank for rank, (_, of_rank) in enumerate(everyone) if of_rank == kind]
        hosts = list(dict.fromkeys(everyone[rank][0] for rank in ranks))
        who = f"ranks {', '.join(map(str, ranks))} on" if len(ranks) > 1 else f"rank {ranks[0]} on"
        parts.append(f"{who} {', '.join(hosts)} compute{'' if len(ranks) > 1 else 's'} on {kind}")
    return f"{'; '.join(parts)}: a run uses one kind of device; name one with plan.gpu, or set train.num_workers"


def _kind(device: Any) -> str:
    """The catalogue's name of a GPU, or the driver's with its memory."""
    import torch

    if device.type != "cuda":
        return str(device.type)
    about = torch.cuda.get_device_properties(device)
    mib = about.total_memory / 2**20
    return catalogue_name(about.name, mib) or f"{about.name} with {mib:,.0f} MiB"
