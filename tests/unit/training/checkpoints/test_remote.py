"""Checkpoints in other storage: local folders by file://, fsspec's memory://, and a storage that comes and goes."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ray_ft.errors import ConfigError
from ray_ft.training.checkpoints.record import FOLDER, latest_checkpoint
from ray_ft.training.checkpoints.remote import CheckpointStore, Uploader, fetch_newest, open_store

WEIGHTS = b"12345678"


def write_checkpoint(run_path: Path, step: int) -> Path:
    folder = run_path / FOLDER / f"step-{step:06d}"
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "weights.pt").write_bytes(WEIGHTS)
    record = {"step": step, "run": {}, "files": {"state/weights.pt": len(WEIGHTS)}}
    (folder / "checkpoint.json").write_text(json.dumps(record))
    return folder


def store_at(uri: str, run_path: Path) -> CheckpointStore:
    store = open_store(uri, run_path)
    assert store is not None
    return store


@pytest.fixture(params=["file", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/far" if request.param == "file" else f"memory://{tmp_path.name}"


def test_what_was_sent_can_be_fetched_elsewhere(uri: str, tmp_path: Path) -> None:
    store = store_at(uri, tmp_path / "here" / "run")
    for step in (10, 20):
        store.send(write_checkpoint(tmp_path / "here" / "run", step))
    found = fetch_newest(store_at(uri, tmp_path / "there" / "run"), tmp_path / "there" / "run")
    assert found is not None
    assert found.step == 20
    assert (found.path / "state" / "weights.pt").read_bytes() == WEIGHTS


def test_storage_without_the_run_has_nothing(uri: str, tmp_path: Path) -> None:
    assert fetch_newest(store_at(uri, tmp_path / "run"), tmp_path / "run") is None


@pytest.mark.parametrize("missing", ["checkpoint.json", "state/weights.pt"])
def test_half_of_a_checkpoint_is_passed_over(uri: str, tmp_path: Path, missing: str) -> None:
    store = store_at(uri, tmp_path / "run")
    store.send(write_checkpoint(tmp_path / "run", 10))
    store.send(write_checkpoint(tmp_path / "run", 20))
    store.fs.rm_file(str(store.root / "step-000020" / missing))
    assert list(store.records()) == ["step-000010"]


def test_a_checkpoint_with_a_truncated_file_is_passed_over(uri: str, tmp_path: Path) -> None:
    store = store_at(uri, tmp_path / "run")
    store.send(write_checkpoint(tmp_path / "run", 10))
    store.fs.pipe_file(str(store.root / "step-000010" / "state" / "weights.pt"), WEIGHTS[:4])
    assert store.records() == {}


def test_the_record_is_sent_last(tmp_path: Path) -> None:
    order: list[str] = []

    class Recording:
        def makedirs(self, path: str, exist_ok: bool) -> None: ...

        def put_file(self, local: str, remote: str) -> None:
            order.append(Path(remote).name)

        def pipe_file(self, path: str, data: bytes) -> None:
            order.append(Path(path).name)

    CheckpointStore(Recording(), "far", uri="fake://far").send(write_checkpoint(tmp_path, 10))
    assert order == ["weights.pt", "checkpoint.json"]


def test_the_newest_and_the_best_are_kept(uri: str, tmp_path: Path) -> None:
    store = store_at(uri, tmp_path / "run")
    uploader = Uploader(store, keep=1)
    for step in (10, 20, 30):
        uploader.send(write_checkpoint(tmp_path / "run", step), best="step-000010")
        wait_until_sent(uploader)
    uploader.close()
    assert list(store.records()) == ["step-000010", "step-000030"]


def test_storage_that_is_gone_is_tried_again_with_longer_pauses(tmp_path: Path) -> None:
    store = store_at(f"file://{tmp_path}/far", tmp_path / "run")
    pauses: list[float] = []
    fail_until(store, lambda: len(pauses) == 8)
    uploader = Uploader(store, keep=2, wait=lambda _, seconds: pauses.append(seconds))
    uploader.send(write_checkpoint(tmp_path / "run", 10), best=None)
    uploader.close()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert list(store.records()) == ["step-000010"]
    first, second = uploader.take_warnings()
    assert "cannot send step-000010" in first
    assert "the bucket is gone" in first
    assert "can be reached again" in second


def test_only_the_newest_checkpoint_waits_for_storage(tmp_path: Path) -> None:
    store = store_at(f"file://{tmp_path}/far", tmp_path / "run")
    waiting, back = threading.Event(), threading.Event()
    fail_until(store, back.is_set)

    def wait(newer: threading.Event, _: float) -> None:
        waiting.set()
        newer.wait()

    uploader = Uploader(store, keep=2, wait=wait)
    uploader.send(write_checkpoint(tmp_path / "run", 10), best=None)
    waiting.wait()
    back.set()
    uploader.send(write_checkpoint(tmp_path / "run", 20), best=None)
    uploader.close()
    assert list(store.records()) == ["step-000020"]


def test_a_run_does_not_wait_for_ever_for_storage(tmp_path: Path) -> None:
    store = store_at(f"file://{tmp_path}/far", tmp_path / "run")
    fail_until(store, lambda: False)
    uploader = Uploader(store, keep=2)
    uploader.send(write_checkpoint(tmp_path / "run", 10), best=None)
    uploader.close(seconds=0.2)
    assert "could not be sent" in uploader.take_warnings()[-1]
    assert latest_checkpoint(tmp_path / "run") is not None


def test_a_scheme_that_nobody_knows_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.checkpoint_uri: 'nowhere://x"):
        open_store("nowhere://x", tmp_path)


def fail_until(store: CheckpointStore, is_back: Any) -> None:
    put = store.fs.put_file

    def put_file(local: str, remote: str) -> None:
        if not is_back():
            raise OSError("the bucket is gone")
        put(local, remote)

    store.fs = type("Sometimes", (), {"__getattr__": lambda _, name, fs=store.fs: getattr(fs, name)})()
    store.fs.put_file = put_file


def wait_until_sent(uploader: Uploader) -> None:
    with uploader._changed:
        while uploader._next is not None or uploader.sending:
            uploader._changed.wait(10)
