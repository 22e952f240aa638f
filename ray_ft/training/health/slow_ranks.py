"""Notices a worker that keeps the others waiting: its own passes take longer than the median worker's."""

import statistics
import time
from typing import Any

SLOW = 1.5  # times the median
FEWEST = 5  # steps before a worker is called slow


class PassTimer:
    """Time of one rank's forward and backward passes, without the waiting for other ranks that follows."""

    def __init__(self, device: Any) -> None:
        import torch

        self._events: tuple[Any, Any] | None = None
        if device.type == "cuda":
            self._events = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
            self._events[0].record()
        self._began = self._ended = time.perf_counter()

    def stop(self) -> None:
        """The last backward pass is launched."""
        if self._events is not None:
            self._events[1].record()
        self._ended = time.perf_counter()

    def seconds(self) -> float:
        """Once the step is over."""
        if self._events is not None:
            return float(self._events[0].elapsed_time(self._events[1])) / 1e3
        return self._ended - self._began


class SlowRanks:
    """Means of every rank's seconds since the last report; a rank is named once, until it has caught up."""

    def __init__(self) -> None:
        self._sums: list[float] = []
        self._num_steps = 0
        self._named: set[int] = set()

    def add(self, seconds: tuple[float, ...]) -> None:
        """One step of all ranks; zeros are told before the first step has been read."""
        if not all(seconds):
            return
        self._sums = [a + b for a, b in zip(self._sums or [0.0] * len(seconds), seconds, strict=True)]
        self._num_steps += 1

    def take_warnings(self) -> list[str]:
        """A line for each rank that has become slow."""
        if self._num_steps < FEWEST or len(self._sums) < 2:
            return []
        means = [total / self._num_steps for total in self._sums]
        self._sums, self._num_steps = [], 0
        # The lower of two middles: of two workers, the faster one is the measure.
        median = statistics.median_low(means)
        slow = {rank for rank, mean in enumerate(means) if mean > SLOW * median}
        lines = [
            f"rank {rank} is slow: its passes take {means[rank] * 1e3:,.0f} ms, those of the median worker "
            f"{median * 1e3:,.0f} ms"
            for rank in sorted(slow - self._named)
        ]
        self._named = slow
        return lines
