"""How far a run is: stages say it as tasks, and whoever watches shows them, as bars in a terminal or as a few lines.

Without a watcher a task writes a line to the log after ten seconds, the next one after twice as long, and so on; each
of them with `--verbose`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

log = logging.getLogger("ray_ft")

FIRST_SECONDS = 10.0
MOST_SECONDS = 600.0
"""Between two lines of a task, in the beginning and in a long run."""
MIN_SHARE = 0.02  # of the whole, before what is left is guessed: the first answer may have waited for a model to load


@dataclass(eq=False)
class Task:
    """One piece of work that takes a while: so many of `total` are done. Any thread may count.

    `figures` are what else is worth knowing, the most important first: as many are shown as there is room for.
    """

    title: str  # what is done, as a verb: read, train, answer
    unit: str = ""  # what is counted: files, steps
    total: int | None = None  # None: nobody knows
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    figures: tuple[str, ...] = ()
    ended: float | None = None
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started, self._first = self.clock(), self.done
        self._said: tuple[float, float] | None = None  # when a stage said how long the rest takes, and what it said

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = self.clock()
        _watcher.show(self)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.at(self.done + count)

    def at(self, done: int, *figures: str, total: int | None = None, seconds_left: float | None = None) -> None:
        """So many are done; without figures those of before stay. `seconds_left` where the stage knows better."""
        self.done, self.figures = done, figures or self.figures
        self._said = None if seconds_left is None else (self.clock(), seconds_left)
        self.total = self.total if total is None else total
        _watcher.show(self)

    def count_to(self, done: int) -> None:
        """So many are done; how many a second is its figure."""
        self.at(done, f"{(done - self._first) / max(self.seconds, 1e-9):.1f} a second")

    @property
    def seconds(self) -> float:
        """From its beginning to its end, or to now."""
        return (self.clock() if self.ended is None else self.ended) - self.started

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.ended is not None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at the rate so far; None where nothing is known, as in the beginning."""
        if self._said is not None:
            at, left = self._said
            return max(0.0, left - (self.clock() - at))
        if self.total is None or self.done - self._first < max(1, MIN_SHARE * (self.total - self._first)):
            return None
        return self.seconds * (self.total - self.done) / (self.done - self._first)

    @property
    def count(self) -> str:
        """`200 of 1,000 files`."""
        return " ".join(part for part in (of_total(self.done, self.total, " of "), self.unit) if part)

    def line(self) -> str:
        """All of it as text: `read 200 of 1,000 files, 1.00 MB/s, about 2 min left`."""
        parts = [f"{self.title} {self.count}", *self.figures]
        if not self.is_over and self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


class Watcher(Protocol):
    """Shows tasks."""

    def show(self, task: Task) -> None:
        """Called when a task begins, whenever it gets on, and at its end, in the thread that works on it."""


class Lines:
    """Few lines in the log: for files, jobs and other programs."""

    def __init__(self) -> None:
        self._next: dict[Task, float] = {}  # when a task's next line is due, in seconds since its beginning
        self._shown: dict[Task, str] = {}

    def show(self, task: Task) -> None:
        """As the interface says; a task that was over before its first line is due says nothing."""
        due = self._next.setdefault(task, FIRST_SECONDS)
        if log.isEnabledFor(logging.DEBUG) or task.seconds >= due:
            self._say(task)
            while self._next[task] <= task.seconds:
                self._next[task] += min(self._next[task], MOST_SECONDS)
        if task.is_over:
            if task in self._shown:
                self._say(task)
                del self._shown[task]
            del self._next[task]

    def _say(self, task: Task) -> None:
        if (line := task.line()) != self._shown.get(task):
            self._shown[task] = line
            log.info("%s", line)


_watcher: Watcher = Lines()


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """While this lasts, tasks are shown by another watcher."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before


@contextmanager
def task(title: str, unit: str = "", total: int | None = None, *, done: int = 0) -> Iterator[Task]:
    """A piece of work, shown from here to the end of the block."""
    made = Task(title, unit, total, done=done)
    _watcher.show(made)
    try:
        yield made
    finally:
        made.end()


def of_total(done: int, total: int | None, between: str) -> str:
    """`200 of 1,000`, or `200` where there is no total."""
    return f"{done:,}" if total is None else f"{done:,}{between}{total:,}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 10 s` or `5 h 12 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
