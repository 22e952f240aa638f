"""MLflow, through its client alone: no global state, and the small package `mlflow-skinny` is enough."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ray_ft.errors import MissingDependencyError
from ray_ft.trackers.base import TRACKERS, TrackedRun, Tracker, TrackerSession, flat, remember_id, remembered_id

LONGEST_PARAM = 6000  # characters; MLflow refuses longer values
PARAMS_PER_CALL = 100


@TRACKERS.register("mlflow")
@dataclass(frozen=True)
class MLflow(Tracker):
    """An MLflow server, or a folder of runs."""

    name: str = "mlflow"
    tracking_uri: str | None = None
    """Server or folder; null takes MLFLOW_TRACKING_URI, else the folder mlruns beside the run."""
    experiment: str = "ray_ft"
    """Experiment that the run belongs to; made where there is none."""

    def check(self) -> None:
        _client_class()

    def start(self, run: TrackedRun) -> TrackerSession:
        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or str(run.run_path.parent / "mlruns")
        if "://" not in uri or uri.startswith("file:"):
            # MLflow wants its users to ask for folders by name; naming a folder here is asking.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        client: Any = _client_class()(tracking_uri=uri)
        run_id = remembered_id(run, self.name) or self._create(client, run)
        client.update_run(run_id, status="RUNNING")
        return _Run(client, run_id)

    def _create(self, client: Any, run: TrackedRun) -> str:
        from mlflow.entities import Param

        experiment = client.get_experiment_by_name(self.experiment)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(self.experiment)
        run_id: str = client.create_run(experiment_id, run_name=run.name).info.run_id
        params = [Param(key, value[:LONGEST_PARAM]) for key, value in flat(run.params)]
        for some in _groups(params, PARAMS_PER_CALL):
            client.log_batch(run_id, params=some)
        remember_id(run, self.name, run_id)
        return run_id


class _Run:
    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def log(self, step: int, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def flush(self) -> None:
        pass

    def close(self, *, finished: bool) -> None:
        self.client.set_terminated(self.run_id, "FINISHED" if finished else "FAILED")


def _client_class() -> Any:
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise MissingDependencyError("train.trackers: mlflow is not installed; pip install 'ray_ft[mlflow]'") from None
    return MlflowClient


def _groups(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
