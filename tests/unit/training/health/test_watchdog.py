"""A hang is noticed, and the line names who did not arrive."""

import json
import threading
import time

from ray_ft.training.health.watchdog import Place, Watchdog, hang_line


class Shared:
    """The process group's store, within one process."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def get(self, key: str) -> bytes:
        return self.values[key].encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)


def test_the_rank_that_is_behind_is_named() -> None:
    places = [Place(0, 12, "update", 100.0), Place(1, 12, "forward", 40.0), Place(2, 12, "update", 100.0)]
    assert hang_line(places, timeout_s=60, now=101.0) == (
        "no step has ended for 60 s (train.hang_timeout_s): rank 1 did not arrive, in forward of step 12 for 61 s; "
        "the others wait in update of step 12"
    )


def test_a_rank_a_step_behind_is_named_though_its_phase_is_later() -> None:
    places = [Place(0, 13, "input", 100.0), Place(1, 12, "reading", 40.0)]
    assert "rank 1 did not arrive, in reading of step 12" in hang_line(places, timeout_s=60, now=101.0)


def test_where_nobody_is_behind_all_are_named() -> None:
    places = [Place(0, 12, "backward", 40.0), Place(1, 12, "backward", 41.0)]
    assert "all ranks have been in backward of step 12 for 61 s" in hang_line(places, timeout_s=60, now=101.0)


def test_a_rank_that_never_told_is_named() -> None:
    assert "rank 1 never began" in hang_line([Place(0, 1, "backward", 40.0), None], timeout_s=60, now=101.0)


def test_a_worker_that_stays_in_one_place_is_given_up_and_one_that_moves_is_not() -> None:
    store, lines, given_up = Shared(), [], threading.Event()

    def give_up(step: int, line: str) -> None:
        lines.append((step, line))
        given_up.set()

    options = {"world_size": 2, "timeout_s": 0.4, "give_up": give_up}
    with Watchdog(store, rank=0, **options) as moving, Watchdog(store, rank=1, **options) as stuck:  # type: ignore[arg-type]
        stuck.at(3, "forward")
        started = time.monotonic()
        while not given_up.wait(0.02):
            moving.at(3, "update")
            assert time.monotonic() - started < 20
    assert [(step, "rank 1 did not arrive, in forward of step 3" in line) for step, line in lines] == [(3, True)]


class Stopped(Shared):
    """The store of a process of rank 0 that stands still, once `stopped` is set: whoever asks waits."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped, self.gone = threading.Event(), threading.Event()

    def check(self, keys: list[str]) -> bool:
        if self.stopped.is_set():
            self.gone.wait(30)
        return super().check(keys)


def test_a_rank_0_that_stands_still_with_the_store_is_named() -> None:
    store, lines, given_up = Stopped(), [], threading.Event()
    store.set("ray_ft/place/0", json.dumps(vars(Place(0, 3, "backward", time.time()))))

    def give_up(step: int, line: str) -> None:
        lines.append(line)
        given_up.set()

    with Watchdog(store, rank=1, world_size=2, timeout_s=0.4, give_up=give_up) as waiting:
        started = time.monotonic()
        while waiting._known[0] is None:
            waiting.at(3, "backward")
            assert time.monotonic() - started < 20
        store.stopped.set()
        assert given_up.wait(20)
        store.gone.set()
    assert "rank 0 did not arrive, in backward of step 3" in lines[0]
    assert "the others wait in backward of step 3" in lines[0]


def test_a_hang_while_samples_are_taken_is_told() -> None:
    places = [Place(0, 12, "samples", 40.0), Place(1, 12, "checkpoint", 100.0)]
    assert "rank 0 did not arrive, in samples of step 12" in hang_line(places, timeout_s=60, now=101.0)


def test_loading_a_model_may_take_as_long_as_it_takes() -> None:
    lines: list[str] = []
    with Watchdog(
        Shared(), rank=0, world_size=1, timeout_s=0.05, give_up=lambda _, line: lines.append(line)
    ) as watchdog:
        watchdog._threads[-1].join(0.3)
    assert lines == []
