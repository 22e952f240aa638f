"""What the ranks tell each other with every step's loss, in the same all-reduce, so that agreeing costs nothing.

Each rank reads what all have said one step late, and all read the same: whoever then acts, acts together.
"""

from dataclasses import dataclass
from typing import Any

FIELDS = 4  # before the seconds, of which every rank has its own place


@dataclass(frozen=True)
class Signals:
    """What one rank has to say."""

    failed: bool = False  # it could not write something
    preempted: bool = False  # Ray has announced that a node goes
    written: int = 0  # step of the checkpoint whose files this rank has written; 0 when there is none to tell of
    seconds: float = 0.0  # that its last forward and backward passes took, without waiting for others


@dataclass(frozen=True)
class Heard:
    """What all ranks have said together, and the loss of the global batch."""

    loss: float = 0.0
    failed: bool = False
    preempted: bool = False
    written: int = 0  # sum over the ranks
    seconds: tuple[float, ...] = ()  # of each rank


def exchange(losses: list[Any], signals: Signals) -> Any:
    """Sum of all ranks' losses and signals, fp64 [FIELDS + world_size] on the device; the loss comes first."""
    import torch
    import torch.distributed as dist

    rank, world_size = dist.get_rank(), dist.get_world_size()
    totals = torch.zeros(FIELDS + world_size, dtype=torch.float64, device=losses[0].device)
    totals[0] = torch.stack(losses).double().sum()
    # Filled in by kernels: a copy from the host would wait for the device.
    for place, value in ((1, signals.failed), (2, signals.preempted), (3, signals.written)):
        if value:
            totals[place].fill_(float(value))
    totals[FIELDS + rank].fill_(signals.seconds)
    if world_size > 1:
        dist.all_reduce(totals)
    return totals


def heard(totals: list[float]) -> Heard:
    """The numbers of `exchange`, once they are on the host."""
    loss, failed, preempted, written, *seconds = totals
    return Heard(loss, failed > 0, preempted > 0, round(written), tuple(seconds))
