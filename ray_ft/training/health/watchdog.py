"""Notices when a step does not end, and says which rank did not arrive and what it was last doing.

A rank that waits in a collective can neither tell nor act, so a thread of each rank writes where its rank is into the
key-value store of the process group and reads the others' places there. Another looks at the clock alone: the store is
in the process of rank 0, and where that one stands still, whoever asks it waits too.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray_ft.training.health.last_words import HANG, leave_note

PHASES = (
    "loading",
    "input",
    "forward",
    "backward",
    "update",
    "reading",
    "evaluation",
    "samples",
    "checkpoint",
    "output",
)
BEAT_SECONDS = 1.0
EXIT_CODE = 70  # of a worker that ended itself so that Ray starts the group again


class Store(Protocol):
    """As much of torch.distributed's store as is needed."""

    def set(self, key: str, value: str) -> Any: ...

    def get(self, key: str) -> bytes: ...

    def check(self, keys: list[str]) -> bool: ...


@dataclass(frozen=True)
class Place:
    """Where a rank is: at which step, counted from 1, and in which phase of it, since when (Unix time)."""

    rank: int
    step: int
    phase: str
    since: float

    @property
    def order(self) -> tuple[int, int]:
        """Sorts places by how far the run has got."""
        return self.step, PHASES.index(self.phase)


class Watchdog:
    """Told where its rank is by `at`; calls `give_up` with one line when it has stayed there for `timeout_s`."""

    def __init__(
        self, store: Store, *, rank: int, world_size: int, timeout_s: float, give_up: Callable[[int, str], None]
    ) -> None:
        self._store, self._rank, self._world_size = store, rank, world_size
        self._timeout, self._give_up = timeout_s, give_up
        self._place = Place(rank, 0, "loading", time.time())
        self._known: list[Place | None] = [None] * world_size
        self._heard = time.time()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"watchdog {run.__name__}", daemon=True)
            for run in (self._exchange, self._watch)
        ]

    def at(self, step: int, phase: str) -> None:
        """This rank has come so far; costs a microsecond."""
        self._place = Place(self._rank, step, phase, time.time())

    @property
    def where(self) -> str:
        """Where this rank is, for people."""
        phase, step = self._place.phase, self._place.step
        return "loading the model" if phase == "loading" else f"{phase} of step {step}"

    def __enter__(self) -> "Watchdog":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def _exchange(self) -> None:
        """Tell the others where this rank is, and hear where they are."""
        while not self._stopped.wait(self._beat):
            # The store goes with rank 0's process, and Ray notices that by itself.
            with suppress(Exception):
                self._store.set(_key(self._rank), json.dumps(vars(self._place)))
                self._known, self._heard = self._places(), time.time()

    def _watch(self) -> None:
        while not self._stopped.wait(self._beat):
            place, now = self._place, time.time()
            if place.phase != "loading" and now - place.since > self._timeout:
                known = [place if rank == self._rank else other for rank, other in enumerate(self._known)]
                no_store = self._rank > 0 and now - self._heard > self._timeout / 2
                self._give_up(place.step, hang_line(known, timeout_s=self._timeout, no_store=no_store))
                return

    @property
    def _beat(self) -> float:
        return min(BEAT_SECONDS, self._timeout / 4)

    def _places(self) -> list[Place | None]:
        """The last known place of every rank; None for one that never told."""
        keys = [_key(rank) for rank in range(self._world_size)]
        return [Place(**json.loads(self._store.get(key))) if self._store.check([key]) else None for key in keys]


def hang_line(places: list[Place | None], *, timeout_s: float, now: float | None = None, no_store: bool = False) -> str:
    """`no step for 60 s: rank 1 did not arrive, it has been in forward of step 12 for 61 s; the others wait ...`.

    `no_store`: rank 0, whose process has the store, does not answer, so it is the one that stands still.
    """
    now = time.time() if now is None else now
    known = [place for place in places if place is not None]
    head = f"no step has ended for {timeout_s:g} s (train.hang_timeout_s)"
    silent = [rank for rank, place in enumerate(places) if place is None]
    if silent:
        return f"{head}: {_ranks(silent)} never began"
    least, most = min(p.order for p in known), max(p.order for p in known)
    behind = known[:1] if no_store else [place for place in known if place.order == least]
    first = behind[0]
    where = f"{first.phase} of step {first.step} for {now - first.since:.0f} s"
    if least == most and not no_store:
        return f"{head}: all ranks have been in {where}"
    ahead = max((place for place in known if place not in behind), key=lambda place: place.order)
    return (
        f"{head}: {_ranks([p.rank for p in behind])} did not arrive, in {where}; "
        f"the others wait in {ahead.phase} of step {ahead.step}"
    )


def end_this_worker(run_path: str | Path) -> Callable[[int, str], None]:
    """Leave the line in the run folder for the driver, and end the process: a thread cannot end a collective."""

    def give_up(step: int, line: str) -> None:
        leave_note(run_path, HANG, f"step {step}: {line}")
        print(line, file=sys.stderr, flush=True)
        os._exit(EXIT_CODE)

    return give_up


def _ranks(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _key(rank: int) -> str:
    return f"ray_ft/place/{rank}"
