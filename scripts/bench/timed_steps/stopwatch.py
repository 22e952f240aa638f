"""Times a run of equal training steps and watches its memory; waits for the device only at the window's two ends."""

import time
from typing import Any


class Finished(BaseException):
    """Enough steps were timed. Not an Exception, so that no handler for failed training takes it for one."""


class Stopwatch:
    """Call `step` before each training step; it raises Finished once `steps` of them were timed after `warmup`."""

    def __init__(self, device: Any, *, warmup: int, steps: int) -> None:
        self.device, self.warmup, self.steps = device, warmup, steps
        self.done = 0
        self._began = self._timed_from = 0.0
        self.warmup_seconds = self.seconds = 0.0
        self.peaks: dict[str, float] = {}

    def step(self) -> None:
        if self.done == 0:
            self._began = self._now()
            self._peaks("load_")
        if self.done == self.warmup:
            self._timed_from = self._now()
            self.warmup_seconds = self._timed_from - self._began
            self._peaks("warmup_")
        if self.done == self.warmup + self.steps:
            self.seconds = (self._now() - self._timed_from) / self.steps
            self._peaks("")
            raise Finished
        self.done += 1

    def before_forward(self, module: Any, *_: Any) -> None:
        """The same as a forward pre-hook, for loops that are not ours to change; one forward pass is one step."""
        import torch

        if module.training and torch.is_grad_enabled():
            self.step()

    def result(self, *, tokens_per_step: float) -> dict[str, Any]:
        """Peak memory counts from the loaded model to the end, warm-up and compilation included."""
        peak = max(self.peaks.get("peak_gib", 0.0), self.peaks.get("warmup_peak_gib", 0.0))
        return {
            "tokens_per_second": tokens_per_step / self.seconds, "seconds_per_step": self.seconds,
            "warmup_seconds": self.warmup_seconds, "timed_steps": self.steps, **self.peaks,
            "timed_peak_gib": self.peaks.get("peak_gib", 0.0), "peak_gib": peak,
        }  # fmt: skip

    def _now(self) -> float:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _peaks(self, prefix: str) -> None:
        import torch

        if self.device.type == "cuda":
            self.peaks[f"{prefix}peak_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30
            self.peaks[f"{prefix}reserved_gib"] = torch.cuda.max_memory_reserved(self.device) / 2**30
            torch.cuda.reset_peak_memory_stats(self.device)
