"""What a step of prepare says while it works: how far it is, how fast, what was kept, and how long it will take."""

from collections import Counter
from collections.abc import Mapping

from ray_ft.progress import Task


class Counts:
    """Files, bytes and what became of them, told to a task whose unit is files."""

    def __init__(self, task: Task, *, num_bytes: int) -> None:
        self.task, self.num_bytes = task, num_bytes
        self.bytes_done = 0
        self.states: Counter[str] = Counter()

    def add(self, num_files: int, num_bytes: int, states: Mapping[str, int]) -> None:
        """Count what is done."""
        self.bytes_done += num_bytes
        self.states.update(states)
        rate = self.bytes_done / max(self.task.seconds, 1e-9)
        left = (self.num_bytes - self.bytes_done) / rate if rate else None
        self.task.at(
            self.task.done + num_files,
            f"{rate / 1e6:.2f} MB/s" if rate >= 1e5 else f"{rate / 1e3:.1f} kB/s",
            f"kept {self.states['ok']:,}",
            *(text for status in ("skipped", "quarantined") if (text := self._reasons(status))),
            seconds_left=left,
        )

    def _reasons(self, status: str) -> str:
        """`12 skipped (9 empty, 3 binary)`, or nothing."""
        prefix = f"{status}: "
        counts = {k.removeprefix(prefix): n for k, n in self.states.items() if k.startswith(prefix)}
        listed = ", ".join(f"{n:,} {reason}" for reason, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
        return f"{sum(counts.values()):,} {status} ({listed})" if counts else ""
