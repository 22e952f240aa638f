"""Shared fixtures: one local Ray cluster for the whole session, and small models made on the spot."""

import os

# Before the first `import ray`: 2.59+ would otherwise switch a cluster it starts to token auth and write a token file.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
# A process per run, to ask whether machines are about to be taken back; test_node_death.py has it.
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Of the server that stands for S3 in tests, which takes any; processes of the cluster inherit them.
os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
# The models are so small that threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import functools
import importlib.util
import logging
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
ONE_PROCESS = ("ray_cluster", "two_workers")  # fixtures of which there is one, however many processes run tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under pytest-xdist, begin with what takes longest: tests that share a fixture, then the others in tests/ray."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        order = {name: place for place, name in enumerate(ONE_PROCESS)}
        items.sort(key=lambda item: order.get(_group(item.location[0]), len(order) + ("ray" not in item.keywords)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to a process as a whole, and all files of a shared fixture to the same one.

    So there is one cluster and one pair of workers, and tests that need neither fill the other process's time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid.partition("::")[0])

    return ByFixture(config, log)


@functools.cache
def _group(file: str) -> str:
    """The shared fixture that a test file speaks of, or the file itself."""
    text = (REPOSITORY / file).read_text()
    return next((name for name in ONE_PROCESS if name in text), file)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A private local cluster of four logical CPUs."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Address of a server that speaks S3; without moto its tests are skipped, and fail in CI."""
    if importlib.util.find_spec("moto") is None and "CI" not in os.environ:
        pytest.skip("needs moto")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # which tells every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(object_store: str) -> str:
    """URI of a new bucket."""
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    urllib.request.urlopen(urllib.request.Request(f"{object_store}/{name}", method="PUT"), timeout=10).close()
    return f"s3://{name}?endpoint_override={object_store}&scheme=http&region=us-east-1"


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a builtin:tiny base with random weights and a trained tokenizer, made once per session."""
    from ray_ft.models.builtin import build_builtin

    return str(build_builtin("tiny", tmp_path_factory.mktemp("models"), pretrain_steps=0))


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two processes that run the worker's loop for whichever test asks: tests/ray/training_support.py."""
    from training_support import Workers

    workers = Workers(2, tmp_path_factory.mktemp("workers"))
    yield workers
    workers.close()
