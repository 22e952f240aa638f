"""ZeRO 1 and 2 (arXiv 1910.02054): each worker sums up, keeps and updates its own share of every bucket of parameters.

A bucket's weights lie in one flat tensor that the parameters are views of, so that a worker's share is a slice of it
and gathering the shares after an update needs no copies.
"""

from collections.abc import Iterator
from typing import Any

from ray_ft.strategies.zero import BUCKETS_IN_FLIGHT
from ray_ft.training.backends.gradients import Bucket, Gradients

ALIGNMENT = 64  # elements: a parameter starts where the fastest kernels want it to


class Partition(Bucket):
    """Some parameters of one dtype, and this worker's share of their weights and gradients."""

    def __init__(self, parameters: list[Any], dtype: Any, *, keep: bool, rank: int, world_size: int) -> None:
        import torch

        super().__init__(parameters, dtype, keep=keep)
        self.offsets, end = [], 0
        for parameter in parameters:
            self.offsets.append(end)
            end += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        per_rank = -(-end // (ALIGNMENT * world_size)) * ALIGNMENT
        self.start, self.stop = rank * per_rank, (rank + 1) * per_rank
        self.weights = torch.zeros(per_rank * world_size, dtype=parameters[0].dtype, device=parameters[0].device)
        with torch.no_grad():
            for parameter, view in zip(parameters, self._views_of(self.weights), strict=True):
                parameter.data = view.copy_(parameter)
        self.share = self.weights[self.start : self.stop]
        self.gradient: Any = None
        self._arriving: Any = None
        self._gathering: Any = None

    def held(self) -> Iterator[tuple[Any, int, slice]]:
        """Parameters of which this worker's share has a part: where that begins in them, and its place in the share."""
        for parameter, offset in zip(self.parameters, self.offsets, strict=True):
            first, last = max(self.start, offset), min(self.stop, offset + parameter.numel())
            if first < last:
                yield parameter, first - offset, slice(first - self.start, last - self.start)

    def take(self, *, first: bool) -> None:
        """As a bucket does, but a gradient that is all of it goes on its way as it is."""
        self.wait()  # for the micro-batch before
        only = self.parameters[0].grad if len(self.parameters) == 1 and not self.keep else None
        if (
            only is not None
            and only.dtype == self.dtype
            and only.is_contiguous()
            and only.numel() == self.weights.numel()
        ):
            self.taken, self.flat, self.parameters[0].grad = True, only.view(-1), None
            return
        super().take(first=first or not self.keep)

    def send(self) -> None:
        """Sum the gradients over the ranks; each rank gets its share."""
        import torch
        import torch.distributed as dist

        scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        self._arriving = torch.empty(self.stop - self.start, dtype=self.dtype, device=self.weights.device)
        self._work = scatter(self._arriving, self.flat, async_op=True)

    def wait(self) -> None:
        """Add what has arrived to this rank's sum, and let the whole gradients go."""
        if self._work is None:
            return
        super().wait()
        if self.gradient is None:
            self.gradient = self._arriving
        else:  # over micro-batches in fp32
            self.gradient = self.gradient.float().add_(self._arriving)
        self._arriving = None
        if not self.keep:
            self.flat, self.views = None, [None] * len(self.parameters)

    def gather(self) -> None:
        """Send this rank's new weights to all and get theirs, while other work goes on."""
        import torch.distributed as dist

        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        mine = self.share if self.share.is_cuda else self.share.clone()  # NCCL gathers in place
        self._gathering = gather(self.weights, mine, async_op=True)

    def gathered(self) -> None:
        """On a GPU its queue waits, not the host."""
        if self._gathering is not None:
            self._gathering.wait()
            self._gathering = None

    def release(self) -> None:
        super().release()
        self.gradient = None

    def _allocate(self) -> None:
        import torch

        self.flat = torch.zeros(len(self.weights), dtype=self.dtype, device=self.weights.device)
        self.views = self._views_of(self.flat)

    def _views_of(self, flat: Any) -> list[Any]:
        pairs = zip(self.offsets, self.parameters, strict=True)
        return [flat[offset : offset + p.numel()].view(p.shape) for offset, p in pairs]


class PartitionedGradients(Gradients):
    """Each rank's share of the sums of a global batch.

    `every` sends the gradients of every micro-batch, so that no rank holds more than a few buckets of the whole
    (ZeRO-2); otherwise they are added up where they are made and sent once (ZeRO-1).
    """

    def __init__(self, partitions: list[Partition], *, every: bool) -> None:
        super().__init__([p for part in partitions for p in part.parameters], buckets=partitions)
        self._every = every

    def flat(self) -> list[Any]:
        for partition in self._buckets:
            partition.wait()
        return [partition.gradient for partition in self._buckets]

    def by_parameter(self) -> dict[int, Any]:
        """This rank's gradient of each partition by the id of its share of the weights; call `flat` first."""
        return {id(partition.share): partition.gradient for partition in self._buckets}

    def _sends(self) -> bool:
        return self._every or self._last

    def _sent(self, number: int) -> None:
        if number > BUCKETS_IN_FLIGHT:
            self._buckets[number - BUCKETS_IN_FLIGHT - 1].wait()
