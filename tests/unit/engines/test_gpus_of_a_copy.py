"""A copy that an engine shares over several GPUs is asked for as such, by endpoints and by evaluations."""

import pytest
import ray

from ray_ft.config import ServingConfig
from ray_ft.engines import TransformersEngine, VLLMEngine
from ray_ft.evaluation.systems.answering import actor_resources
from ray_ft.serving.replica.resources import replica_resources


@pytest.fixture(autouse=True)
def _eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"Alive": True, "Resources": {"GPU": 4.0, "CPU": 16.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [node, node])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 8.0, "CPU": 32.0})


def test_a_replica_takes_as_many_gpus_as_the_engine_shares_a_copy_over() -> None:
    shared = VLLMEngine(tensor_parallel=4)
    assert replica_resources(ServingConfig(), shared)["num_gpus"] == 4
    assert replica_resources(ServingConfig(), TransformersEngine())["num_gpus"] == 1
    assert replica_resources(ServingConfig(num_gpus=2), VLLMEngine())["num_gpus"] == 2


def test_an_evaluation_has_as_many_actors_as_there_are_copies() -> None:
    assert actor_resources(VLLMEngine(tensor_parallel=4), "nowhere", 40) == ({"num_gpus": 4}, 2)
    assert actor_resources(VLLMEngine(), "nowhere", 40) == ({"num_gpus": 1}, 8)
    assert actor_resources(VLLMEngine(tensor_parallel=16), "nowhere", 40) == ({"num_gpus": 16}, 1)
