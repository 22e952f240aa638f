"""Gradients of a replicated model: added up over micro-batches and over workers while the backward pass still runs.

Each parameter's gradient moves into a flat bucket as soon as autograd has it; a full bucket of the last micro-batch is
summed over the workers at once, while autograd works on the layers before. One worker with nothing to add up has no
buckets: its gradients stay where autograd put them.
"""

from typing import Any

from ray_ft.strategies.zero import BUCKET_BYTES


class Gradients:
    """Sums of gradients over micro-batches and ranks of a global batch; without buckets autograd's own."""

    def __init__(self, parameters: list[Any], *, buckets: list[Any]) -> None:
        self.parameters, self._buckets = parameters, buckets
        self._first, self._last, self._next = True, False, 0
        for bucket in buckets:
            bucket.watch(self._one_is_full)

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add the gradients of `loss`; with `last` they are on their way over the ranks when this returns."""
        self._last, self._next = last, 0
        loss.backward()
        for bucket in self._buckets:  # with a parameter that this loss does not depend on
            if not bucket.taken:
                bucket.take(first=self._first)
        self._send_full_ones()
        assert self._next == (len(self._buckets) if self._sends() else 0)
        for bucket in self._buckets:
            bucket.await_next()
        self._first = last

    def flat(self) -> list[Any]:
        """All gradients, waited for (on a GPU by its queue, not by the host), in as few tensors as there are."""
        for bucket in self._buckets:
            bucket.wait()
        return [b.flat for b in self._buckets] or [p.grad for p in self.parameters if p.grad is not None]

    def by_parameter(self) -> dict[int, Any]:
        """Each parameter's gradient by the parameter's id, None where there is none; call `flat` first."""
        if not self._buckets:
            return {id(p): p.grad for p in self.parameters}
        return {id(p): view for b in self._buckets for p, view in zip(b.parameters, b.views, strict=True)}

    def clear(self) -> None:
        """Forget the sums."""
        for parameter in self.parameters:
            parameter.grad = None
        for bucket in self._buckets:
            bucket.release()

    def _one_is_full(self, bucket: "Bucket") -> None:
        bucket.take(first=self._first)
        self._send_full_ones()

    def _send_full_ones(self) -> None:
        """In the same order on all ranks, as collectives must be."""
        while self._sends() and self._next < len(self._buckets):
            if not self._buckets[self._next].taken:
                return
            self._buckets[self._next].send()
            self._next += 1
            self._sent(self._next)

    def _sends(self) -> bool:
        """Whether this micro-batch's gradients go over the ranks."""
        import torch.distributed as dist

        return self._last and dist.get_world_size() > 1

    def _sent(self, number: int) -> None:
        """Called when the first `number` buckets are on their way."""


def whole_buckets(parameters: list[Any], *, num_micro_batches: int, wide: bool) -> list["Bucket"]:
    """Buckets that every rank has whole; none where autograd's own sums will do.

    `wide` keeps sums in fp32 whatever the parameters' dtype: in 16 bits the small gradients of late micro-batches would
    be rounded away.
    """
    import torch
    import torch.distributed as dist

    in_place = num_micro_batches == 1 or all(p.dtype == torch.float32 for p in parameters)
    if dist.get_world_size() == 1 and in_place:
        return []
    # Backward reaches the last parameters first.
    parts = parts_of(list(reversed(parameters)), bytes_each=4 if wide else 0)
    return [Bucket(part, torch.float32 if wide else part[0].dtype, keep=num_micro_batches > 1) for part in parts]


class Bucket:
    """Some parameters' gradients in one flat tensor."""

    def __init__(self, parameters: list[Any], dtype: Any, *, keep: bool) -> None:
        self.parameters, self.dtype, self.keep = parameters, dtype, keep
        self.flat: Any = None
        self.views: list[Any] = [None] * len(parameters)
        self.taken = False
        self._missing = len(parameters)
        self._work: Any = None

    def watch(self, when_full: Any) -> None:
        """Call `when_full` each time that a backward pass has made the last gradient of this bucket."""

        def arrived(_: Any) -> None:
            self._missing -= 1
            if self._missing == 0:
                when_full(self)

        for parameter in self.parameters:
            parameter.register_post_accumulate_grad_hook(arrived)

    def take(self, *, first: bool) -> None:
        """Move the gradients out of the parameters: into the sums, or with `first` in their place."""
        import torch

        self.taken = True
        if self.flat is None:
            self._allocate()
        with torch.no_grad():
            there = [(view, p.grad) for view, p in zip(self.views, self.parameters, strict=True) if p.grad is not None]
            if first and len(there) < len(self.parameters):
                self.flat.zero_()
            if there:
                move = torch._foreach_copy_ if first else torch._foreach_add_
                move([view for view, _ in there], [gradient for _, gradient in there])
        for parameter in self.parameters:
            parameter.grad = None

    def send(self) -> None:
        import torch.distributed as dist

        self._work = dist.all_reduce(self.flat, async_op=True)

    def wait(self) -> None:
        if self._work is not None:
            self._work.wait()
            self._work = None

    def await_next(self) -> None:
        self.taken, self._missing = False, len(self.parameters)

    def release(self) -> None:
        """Give the memory back until the next backward pass, unless it serves all micro-batches anyway."""
        if not self.keep:
            self.flat, self.views = None, [None] * len(self.parameters)

    def _allocate(self) -> None:
        import torch

        sizes = [p.numel() for p in self.parameters]
        self.flat = torch.empty(sum(sizes), dtype=self.dtype, device=self.parameters[0].device)
        parts = self.flat.split(sizes)
        self.views = [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]


def parts_of(parameters: list[Any], *, bytes_each: int) -> list[list[Any]]:
    """Neighbours of one dtype, about BUCKET_BYTES together. `bytes_each` 0 takes the parameter's own width."""
    parts: list[list[Any]] = []
    size = 0
    for parameter in parameters:
        num_bytes = parameter.numel() * (bytes_each or parameter.element_size())
        if not parts or size + num_bytes > BUCKET_BYTES or parameter.dtype != parts[-1][0].dtype:
            parts.append([])
            size = 0
        parts[-1].append(parameter)
        size += num_bytes
    return parts
