"""One run at a time below a URI: a live one refuses others, a dead one does not for long, and two at once step back."""

import json
import multiprocessing
import time
import uuid
from pathlib import Path

import pytest

from ray_ft.data.run import lease
from ray_ft.data.run.lease import CLAIMS, leased
from ray_ft.errors import ConfigError, DataError
from ray_ft.storage import Store


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/far"


def claims(uri: str) -> list[str]:
    return [found.name for found in Store(uri).below(CLAIMS).list()]


def hold(uri: str, seconds: float) -> None:
    with leased(uri):
        time.sleep(seconds)


def start(uri: str, seconds: float) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=hold, args=(uri, seconds))
    process.start()
    while not claims(uri):
        time.sleep(0.01)
    return process


def test_a_live_run_refuses_another_and_lets_it_in_once_it_ends(uri: str) -> None:
    first = start(uri, 30)
    with (
        pytest.raises(ConfigError, match=r"another `ray-ft prepare` is at work in file:///.*/far; wait for it"),
        leased(uri),
    ):
        pass
    first.terminate()
    first.join()
    with leased(uri):
        assert len(claims(uri)) == 1
    assert claims(uri) == []


def test_a_killed_run_of_this_machine_does_not_block_at_all(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1e6)
    first = start(uri, 30)
    first.kill()
    first.join()
    with leased(uri):
        assert len(claims(uri)) == 1


def test_a_killed_run_of_another_machine_blocks_as_long_as_its_claim_could_be_renewed(uri: str) -> None:
    about = {"machine": "another", "process": 1, "started": "1"}
    Store(uri).below(CLAIMS).write("dead", json.dumps(about).encode())
    began = time.monotonic()
    with leased(uri):
        assert claims(uri) != ["dead"]
    assert 1.5 < time.monotonic() - began < 10


def test_a_claim_that_cannot_be_read_is_waited_for_like_another_machines(uri: str) -> None:
    Store(uri).below(CLAIMS).write("garbage", b"{")
    with leased(uri):
        assert len(claims(uri)) == 1


def test_of_many_that_begin_at_once_never_two_hold_it(uri: str) -> None:
    context = multiprocessing.get_context("fork")
    at_work, most = context.Value("i", 0), context.Value("i", 0)

    def work() -> None:
        try:
            with leased(uri):
                with at_work.get_lock():
                    at_work.value += 1
                    most.value = max(most.value, at_work.value)
                time.sleep(0.3)
                with at_work.get_lock():
                    at_work.value -= 1
        except ConfigError:
            return

    processes = [context.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert most.value == 1
    assert claims(uri) == []


def test_a_run_that_stood_still_is_told_that_another_took_over(uri: str) -> None:
    with leased(uri) as mine:
        mine.check()
        Store(uri).below(CLAIMS).delete(claims(uri))
        with pytest.raises(DataError, match="another `ray-ft prepare` has taken over file:///"):
            mine.check()
        time.sleep(0.5)
        assert claims(uri) == []  # it does not claim it again


def test_claims_tell_no_more_than_whose_they_are() -> None:
    assert set(json.loads(lease._about())) == {"host", "machine", "process", "started"}
    assert uuid.UUID(lease._machine()[:36])
