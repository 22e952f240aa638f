"""What a step of prepare says while it works: how far it is, how fast, what was kept, and how long it will take."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping

log = logging.getLogger("ray_ft")

SECONDS_BETWEEN_REPORTS = 10.0


class Progress:
    """Counts of one step; a line in the log every ten seconds."""

    def __init__(
        self, verb: str, *, num_files: int, num_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.verb = verb
        self.num_files, self.num_bytes = num_files, num_bytes
        self.clock = clock
        self.started = self.reported = clock()
        self.files_done = self.bytes_done = 0
        self.states: Counter[str] = Counter()

    def add(self, num_files: int, num_bytes: int, states: Mapping[str, int]) -> None:
        """Count what is done, and say so where it is time."""
        self.files_done += num_files
        self.bytes_done += num_bytes
        self.states.update(states)
        if (now := self.clock()) - self.reported >= SECONDS_BETWEEN_REPORTS:
            self.reported = now
            log.info("%s", self.line(now - self.started))

    def line(self, seconds: float) -> str:
        """How far the step is after so many seconds."""
        rate = self.bytes_done / max(seconds, 1e-9)
        left = (self.num_bytes - self.bytes_done) / max(rate, 1e-9)
        parts = [
            f"{self.verb} {self.files_done:,} of {self.num_files:,} files",
            f"{self.bytes_done / 1e6:,.1f} of {self.num_bytes / 1e6:,.1f} MB at {rate / 1e6:.2f} MB/s",
            f"kept {self.states['ok']:,}",
            *(text for status in ("skipped", "quarantined") if (text := self._reasons(status))),
        ]
        if self.bytes_done:
            parts.append(f"about {_duration(left)} left")
        return ", ".join(parts)

    def _reasons(self, status: str) -> str:
        """`12 skipped (9 empty, 3 binary)`, or nothing."""
        prefix = f"{status}: "
        counts = {k.removeprefix(prefix): n for k, n in self.states.items() if k.startswith(prefix)}
        listed = ", ".join(f"{n:,} {reason}" for reason, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
        return f"{sum(counts.values()):,} {status} ({listed})" if counts else ""


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
