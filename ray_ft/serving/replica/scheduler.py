"""The one thread that may touch the model: it checks requests as they arrive and advances all open answers in turn."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ray_ft.engines import GenerateRequest, LoadedModel, TextDelta

logger = logging.getLogger(__name__)

MAX_OPEN = 8
"""Answers that advance in turn; more wait, because each open one holds its own keys and values in memory."""


@dataclass(frozen=True)
class Accepted:
    """The request is fine and has its place; text follows."""


@dataclass(frozen=True)
class Broken:
    """The request was refused (nothing was delivered before) or its answer failed midway; nothing follows."""

    error: Exception


Event = Accepted | TextDelta | Broken


@dataclass(eq=False)
class Job:
    """One answer to make. `prepare` runs in the model's thread; so does `deliver`, which must return at once."""

    prepare: Callable[[LoadedModel], GenerateRequest]
    deliver: Callable[[Event], None]
    adapter: str = ""
    cancelled: bool = False  # set by the asker, seen before the next token
    stream: Iterator[TextDelta] = field(default_factory=lambda: iter(()))


class ModelThread:
    """Runs a loaded model away from the event loop."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._inbox: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._open: list[Job] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once the thread has ended, by `close` or by a bug."""
        return self._thread.is_alive()

    @property
    def num_open(self) -> int:
        """Answers being made or waiting to be."""
        return len(self._open) + len(self._waiting)

    def submit(self, jobs: list[Job]) -> None:
        """Hand over jobs that belong together: all are checked before the first of them is answered.

        Every job ends in a finished delta or in `Broken`, unless it is cancelled.
        """
        self._inbox.put(jobs)

    def close(self) -> None:
        """Stop after the current token; open answers are dropped."""
        self._inbox.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._closed:
            self._take_new()
            self._waiting = deque(job for job in self._waiting if not job.cancelled)
            while self._waiting and len(self._open) < MAX_OPEN:
                self._open.append(self._waiting[0])  # first in, then out: a job in between would count as gone
                self._waiting.popleft()
            # jobs of one adapter stand together, so that each round switches adapters as rarely as can be
            for job in sorted(self._open, key=lambda job: job.adapter):
                if not self._advance(job):
                    job.stream = iter(())  # lets go of the row's keys and values now, not at the next collection
                    self._open.remove(job)

    def _take_new(self) -> None:
        """Check all new jobs; sleeps only while there is nothing to do."""
        idle = not self._open and not self._waiting
        while True:
            try:
                jobs = self._inbox.get(block=idle)
            except queue.Empty:
                return
            idle = False
            if jobs is None:
                self._closed = True
                return
            for job in jobs:
                self._check(job)

    def _check(self, job: Job) -> None:
        """Refuse a bad request before it waits its turn."""
        try:
            request = job.prepare(self._model)
            job.stream = self._model.stream(request)
        except Exception as error:  # whatever is wrong with one request must not end the thread
            job.deliver(Broken(error))
            return
        job.adapter = request.adapter or ""
        self._waiting.append(job)
        job.deliver(Accepted())

    def _advance(self, job: Job) -> bool:
        """One more piece of an answer; False when it has ended."""
        if job.cancelled:
            return False
        try:
            delta = next(job.stream, None)
        except Exception as error:  # a failed answer ends alone
            logger.exception("an answer failed")
            job.deliver(Broken(error))
            return False
        if delta is None:
            job.deliver(Broken(RuntimeError("the engine ended an answer without a finish reason")))
            return False
        job.deliver(delta)
        return delta.finish_reason is None
