"""Shared fixtures: one local Ray cluster for the whole session, and small models made on the spot."""

import os

# Before the first `import ray`: 2.59+ would otherwise switch a cluster it starts to token auth and write a token file.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The models are so small that threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A private local cluster of four logical CPUs."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a builtin:tiny base with random weights and a trained tokenizer, made once per session."""
    from ray_ft.base_model import build_builtin

    return str(build_builtin("tiny", tmp_path_factory.mktemp("models"), pretrain_steps=0))


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two processes that run the worker's loop for whichever test asks: tests/ray/training_support.py."""
    from training_support import Workers

    workers = Workers(2, tmp_path_factory.mktemp("workers"))
    yield workers
    workers.close()
