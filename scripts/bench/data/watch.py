"""Processor time and memory of this process and of all that it starts, also of those that end in between."""

import threading
import time
from types import TracebackType
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]

SECONDS_BETWEEN_LOOKS = 0.25


class Watch:
    """Looks at every process four times a second; `cpu_seconds` so far, and the highest memory of each by its name."""

    def __init__(self) -> None:
        self._root = psutil.Process()
        self._taken: dict[Any, float] = {}
        self._memory: dict[Any, tuple[str, int]] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "Watch":
        self._look()
        self._before = sum(self._taken.values())
        self.started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.monotonic() - self.started

    def cpu_seconds(self) -> float:
        """User and system time of all processes since the beginning."""
        self._look()
        return sum(self._taken.values()) - self._before

    def memory_of(self, *parts: str) -> int:
        """The highest memory, in bytes (RSS), of any one process whose name holds one of the parts."""
        return max((size for name, size in self._memory.values() if any(part in name for part in parts)), default=0)

    def memory_of_root(self) -> int:
        """The highest memory of this process."""
        return self._memory[self._root][1]

    def memory_of_others(self) -> int:
        """The highest memory of any other process."""
        return max((size for process, (_, size) in self._memory.items() if process != self._root), default=0)

    def size_of(self, process: psutil.Process) -> int:
        """The memory of a process that counts."""
        return int(process.memory_info().rss)

    def _look_on(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        with self._lock:
            for process in [self._root, *self._root.children(recursive=True)]:
                try:
                    times, size, name = process.cpu_times(), self.size_of(process), " ".join(process.cmdline())
                except psutil.Error:
                    continue
                self._taken[process] = times.user + times.system
                before = self._memory.get(process, ("", 0))
                # A worker is named after its task while one runs; what it was once, it stays here.
                self._memory[process] = (name if "ray::" in name else before[0] or name, max(size, before[1]))
