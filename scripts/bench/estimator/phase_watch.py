"""Memory by phase and the time of a step, seen from hooks of the model alone; the training loop knows nothing of it.

Peaks are read on the host, where the allocator lives, so that nothing waits for the device but the two ends of the
timed steps.
"""

import time
from typing import Any

from bench.timed_steps.stopwatch import Finished

PHASES = ("load", "first", "forward", "backward", "update", "evaluation")
"""load: up to the first batch, optimizer included; first: all of step 1, compilation included; forward (with the loss),
backward and update: of all later steps; evaluation: one, where there is one."""


class PhaseWatch:
    """Hooks of a model in training; raises Finished after `warmup` steps and `steps` timed ones.

    A step is `accumulation` forward passes in training. With `evaluates`, an evaluation must follow the timed steps.
    """

    def __init__(self, device: Any, *, warmup: int, steps: int, accumulation: int = 1, evaluates: bool = False) -> None:
        self.device, self.warmup, self.steps = device, warmup, steps
        self.accumulation, self.evaluates = accumulation, evaluates
        self.passes, self.seconds, self.outside_bytes = 0, 0.0, 0
        self.phase = "load"
        self.seen = ["load"]
        self.allocated: dict[str, int] = {}
        self.reserved: dict[str, int] = {}
        self._timed_from = 0.0

    def watch(self, model: Any) -> None:
        """From now on, until Finished."""
        model.register_forward_pre_hook(self._before_forward)
        model.register_forward_hook(self._after_forward)

    @property
    def done(self) -> int:
        """Steps that have begun."""
        return -(-self.passes // self.accumulation)

    def _before_forward(self, module: Any, *_: Any) -> None:
        if not module.training:
            if self.phase != "evaluation":
                self._stop_clock()
                self._enter("evaluation")
            return
        if self.passes % self.accumulation == 0 and self._begins_step():
            raise Finished
        self.passes += 1
        self._enter("first" if self.done == 1 else "forward")

    def _begins_step(self) -> bool:
        """Whether it begins no more, because everything has been measured."""
        if self.done == self.warmup:
            self._synchronise()
            self._timed_from = time.perf_counter()
        elif self.done == self.warmup + self.steps:
            self._stop_clock()
            return True
        return False

    def _after_forward(self, module: Any, _: Any, output: Any) -> None:
        import torch

        if not module.training or self.done == 1:
            return
        self._enter("backward")

        def begin(gradient: Any) -> None:
            # Called when the whole backward pass has been launched.
            torch.autograd.Variable._execution_engine.queue_callback(lambda: self._enter("update"))

        output.loss.register_hook(begin)

    def _stop_clock(self) -> None:
        if not self.seconds and self.done == self.warmup + self.steps:
            self._synchronise()
            self.seconds = (time.perf_counter() - self._timed_from) / self.steps

    def _synchronise(self) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _enter(self, phase: str) -> None:
        """Book the peaks so far on the phase that ends here."""
        self.leave()
        self.phase = phase
        if phase not in self.seen:
            self.seen.append(phase)

    def leave(self, *, at_end: bool = False) -> None:
        """Book the peaks so far; at the end also what the GPU holds beside torch's memory, nobody else's."""
        import torch

        if self.device.type != "cuda":
            return
        for peaks, peak in (
            (self.allocated, torch.cuda.max_memory_allocated(self.device)),
            (self.reserved, torch.cuda.max_memory_reserved(self.device)),
        ):
            peaks[self.phase] = max(peaks.get(self.phase, 0), peak)
        torch.cuda.reset_peak_memory_stats(self.device)
        if at_end:
            free, total = torch.cuda.mem_get_info(self.device)
            self.outside_bytes = total - free - torch.cuda.memory_reserved(self.device)
