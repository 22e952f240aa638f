"""Every tracker against one suite, offline; registering a tracker enrols it here. What it kept is read back."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import parse_config
from ray_ft.errors import ConfigError, MissingDependencyError
from ray_ft.trackers import TRACKERS, MLflow, TensorBoard, TrackedRun, Tracker, WeightsAndBiases

pytestmark = pytest.mark.filterwarnings("ignore")

Kept = tuple[list[tuple[int, float]], dict[str, Any]]  # (step, loss) in order, and the parameters


def kept_by_tensorboard(run_path: Path) -> Kept:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_path / "tensorboard"))
    events.Reload()
    text = events.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    params = {"train.learning_rate": "0.001"} if '"learning_rate": 0.001' in text else {}
    return [(event.step, event.value) for event in events.Scalars("loss")], params


def kept_by_mlflow(run_path: Path) -> Kept:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=str(run_path.parent / "mlruns"))
    experiment = client.get_experiment_by_name("ray_ft")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss")
    return sorted({(m.step, m.value) for m in history}), run.data.params


def kept_by_wandb(run_path: Path) -> Kept:
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # its service may still be writing after a run has finished
    losses: dict[int, float] = {}
    params: dict[str, Any] = {}
    for file in sorted(run_path.glob("wandb/offline-run-*/*.wandb")):
        for data in leveldb_records(file.read_bytes()[7:]):  # after wandb's own header
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
            if "loss" in items:
                losses.setdefault(int(items["_step"]), float(items["loss"]))
            for item in record.run.config.update:
                if item.key == "train":
                    params["train.learning_rate"] = str(json.loads(item.value_json)["learning_rate"])
    return sorted(losses.items()), params


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Records of LevelDB's log format: blocks of 32 KiB, pieces with 4 bytes of CRC, 2 of length and 1 of kind."""
    at, parts = 0, b""
    while at + 7 <= len(data):
        if (at + 7) % 32768 > 32768 - 7:  # the rest of a block is too short for a piece
            at += 32768 - (at + 7) % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield parts
            parts = b""


OFFLINE: dict[str, tuple[Tracker, Callable[[Path], Kept]]] = {
    "tensorboard": (TensorBoard(), kept_by_tensorboard),
    "mlflow": (MLflow(), kept_by_mlflow),
    "wandb": (WeightsAndBiases(mode="offline"), kept_by_wandb),
}


@pytest.fixture(params=list(TRACKERS))
def tracked(request: pytest.FixtureRequest) -> tuple[Tracker, Callable[[Path], Kept]]:
    """One of each that is installed, where it needs no network."""
    tracker, read = OFFLINE[request.param]
    try:
        tracker.check()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    return tracker, read


def make_run(tmp_path: Path, *, step: int = 0) -> TrackedRun:
    run_path = tmp_path / "outputs" / "handbook"
    run_path.mkdir(parents=True, exist_ok=True)
    params = {"train": {"learning_rate": 0.001, "strategy": {"name": "lora"}}, "git_revision": "abc"}
    return TrackedRun(name="handbook", run_path=run_path, step=step, params=params)


def test_a_tracker_knows_its_name() -> None:
    for name in TRACKERS:
        assert TRACKERS[name]().name == name


def test_what_is_logged_is_kept_with_its_step_and_the_parameters(
    tracked: tuple[Tracker, Callable[[Path], Kept]], tmp_path: Path
) -> None:
    tracker, read = tracked
    run = make_run(tmp_path)
    session = tracker.start(run)
    session.log(1, {"loss": 2.5, "learning_rate": 1e-3})
    session.log(2, {"loss": 2.25})
    session.flush()
    session.close(finished=True)
    losses, params = read(run.run_path)
    assert losses == [(1, 2.5), (2, 2.25)]
    assert params["train.learning_rate"] == "0.001"


def test_a_run_that_goes_on_ends_up_in_one_place_with_each_step_once(
    tracked: tuple[Tracker, Callable[[Path], Kept]], tmp_path: Path
) -> None:
    tracker, read = tracked
    first = tracker.start(make_run(tmp_path))
    for step in (1, 2, 3):
        first.log(step, {"loss": float(step)})
    first.close(finished=False)
    second = tracker.start(make_run(tmp_path, step=2))  # step 3 is done again
    for step in (3, 4):
        second.log(step, {"loss": float(step)})
    second.close(finished=True)
    losses, _ = read(make_run(tmp_path).run_path)
    assert losses == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


def test_a_config_names_trackers_by_word_or_with_their_own_keys() -> None:
    raw = {
        "run_name": "x", "model": {"name": "builtin:tiny"}, "data": {"sources": ["docs"], "recipes": ["qa"]},
        "train": {"trackers": ["tensorboard", {"name": "mlflow", "experiment": "docs"}]},
    }  # fmt: skip
    assert parse_config(raw).train.trackers == (TensorBoard(), MLflow(experiment="docs"))
    with pytest.raises(
        ConfigError, match=r"train\.trackers\[0\]\.name: no such tracker 'mlfow'.*Did you mean 'mlflow'"
    ):
        parse_config(raw, ["train.trackers=[mlfow]"])
    with pytest.raises(ConfigError, match=r"train\.trackers: .* each named once"):
        parse_config(raw, ["train.trackers=[wandb,wandb]"])
