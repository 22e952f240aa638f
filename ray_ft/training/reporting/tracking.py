"""Hands a run's numbers to its trackers, each on a thread of its own: none can slow, stop or fail the training."""

import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

from ray_ft.errors import first_line
from ray_ft.trackers import TrackedRun, Tracker

WAITING = 10_000  # logged steps that a tracker may lag behind before the newest are left out
CLOSE_SECONDS = 30.0  # that the end of a run waits for them


class Tracking:
    """All trackers of a run. `warnings` holds one line for each that has failed, until they are taken."""

    def __init__(self, trackers: Sequence[Tracker], run: TrackedRun | None) -> None:
        assert run is not None or not trackers, "a tracker is told which run it tracks"
        self._threads = [_TrackerThread(tracker, run) for tracker in trackers if run is not None]

    def log(self, step: int, values: dict[str, float]) -> None:
        """Pass on one step's numbers; returns at once."""
        for thread in self._threads:
            thread.put(("log", step, values))

    def flush(self) -> None:
        """Before a checkpoint: what was logged so far should outlive a kill; returns at once."""
        for thread in self._threads:
            thread.put(("flush", threading.Event()))

    def close(self, *, finished: bool) -> None:
        """End of the run; a tracker that hangs is left behind."""
        asked = [(thread, threading.Event()) for thread in self._threads]
        for thread, answered in asked:
            thread.put(("close", answered, finished))
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread, answered in asked:
            if not answered.wait(max(0.0, deadline - time.monotonic())):
                thread.give_up(f"did not finish within {CLOSE_SECONDS:.0f} s")

    def take_warnings(self) -> list[str]:
        """Failures since the last call, one line for each tracker at most."""
        return [line for thread in self._threads if (line := thread.take_warning()) is not None]


class _TrackerThread:
    """One tracker with its queue; after its first failure it only empties the queue."""

    def __init__(self, tracker: Tracker, run: TrackedRun) -> None:
        self.tracker, self.run = tracker, run
        self._queue: queue.Queue[tuple[Any, ...]] = queue.Queue(WAITING)
        self._failed = False
        self._warning: str | None = None
        threading.Thread(target=self._work, name=f"tracker-{tracker.name}", daemon=True).start()

    def put(self, message: tuple[Any, ...]) -> None:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.give_up("does not keep up")
            if message[0] != "log":
                message[1].set()

    def take_warning(self) -> str | None:
        warning, self._warning = self._warning, None
        return warning

    def give_up(self, reason: str) -> None:
        """Say it once."""
        if not self._failed:
            self._failed = True
            self._warning = f"{self.tracker.name} {reason}; training goes on without it"

    def _work(self) -> None:
        session: Any = None
        try:
            session = self.tracker.start(self.run)
        except BaseException as error:  # whatever a library raises, sys.exit included
            self.give_up(f"could not be started: {first_line(error)}")
        while True:
            what, *arguments = self._queue.get()
            try:
                if session is not None and (not self._failed or what == "close"):
                    _tell(session, what, arguments)
            except BaseException as error:
                self.give_up(f"failed: {first_line(error)}")
            finally:
                if what != "log":
                    arguments[0].set()
            if what == "close":
                return


def _tell(session: Any, what: str, arguments: list[Any]) -> None:
    if what == "log":
        session.log(*arguments)
    elif what == "flush":
        session.flush()
    else:
        session.close(finished=arguments[1])
