"""Trackers that fail, hang or lag: training never notices, and the user is told once."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ray_ft.trackers import TrackedRun, Tracker, TrackerSession
from ray_ft.training.reporting import tracking
from ray_ft.training.reporting.tracking import Tracking

RUN = TrackedRun(name="handbook", run_path=Path("nowhere"), step=0, params={})


@dataclass(frozen=True)
class Recorder(Tracker):
    """Remembers what it was told; fails or waits where it is asked to."""

    name: str = "recorder"
    fails: str = ""
    hangs: str = ""
    told: list[tuple[object, ...]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def start(self, run: TrackedRun) -> TrackerSession:
        self._do("start")
        return self

    def log(self, step: int, values: dict[str, float]) -> None:
        self._do("log", step, values)

    def flush(self) -> None:
        self._do("flush")

    def close(self, *, finished: bool) -> None:
        self._do("close", finished)

    def _do(self, what: str, *arguments: object) -> None:
        if what == self.fails:
            raise ConnectionError(f"no route for {what}\nand a second line")
        if what == self.hangs:
            self.released.wait(60)
        self.told.append((what, *arguments))


def test_every_tracker_is_told_everything_in_order() -> None:
    trackers = [Recorder(), Recorder(name="second")]
    tracked = Tracking(trackers, RUN)
    tracked.log(1, {"loss": 2.0})
    tracked.flush()
    tracked.log(2, {"loss": 1.0})
    tracked.close(finished=True)
    for tracker in trackers:
        assert tracker.told == [
            ("start",), ("log", 1, {"loss": 2.0}), ("flush",), ("log", 2, {"loss": 1.0}), ("close", True),
        ]  # fmt: skip
    assert tracked.take_warnings() == []


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        ("start", "recorder could not be started: no route for start; training goes on without it"),
        ("log", "recorder failed: no route for log; training goes on without it"),
        ("flush", "recorder failed: no route for flush; training goes on without it"),
        ("close", "recorder failed: no route for close; training goes on without it"),
    ],
)
def test_a_tracker_that_fails_is_warned_of_once_and_the_others_go_on(fails: str, says: str) -> None:
    broken, whole = Recorder(fails=fails), Recorder(name="whole")
    tracked = Tracking([broken, whole], RUN)
    for step in (1, 2, 3):
        tracked.log(step, {})
    tracked.flush()
    tracked.close(finished=True)
    assert tracked.take_warnings() == [says]
    assert tracked.take_warnings() == []
    assert [what[0] for what in whole.told] == ["start", "log", "log", "log", "flush", "close"]


def test_a_tracker_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 0.1)
    hanging = Recorder(hangs="start")
    tracked = Tracking([hanging], RUN)
    tracked.log(1, {})
    tracked.flush()
    tracked.close(finished=True)
    hanging.released.set()
    assert tracked.take_warnings() == ["recorder did not finish within 0 s; training goes on without it"]


def test_a_tracker_that_lags_behind_loses_lines_and_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "WAITING", 4)
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 0.1)
    lagging = Recorder(hangs="start")
    tracked = Tracking([lagging], RUN)
    for step in range(10):
        tracked.log(step, {})
    assert tracked.take_warnings() == ["recorder does not keep up; training goes on without it"]
    lagging.released.set()
    tracked.close(finished=True)
