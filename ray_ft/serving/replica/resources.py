"""What one copy of the model asks of the cluster, and whether the cluster has room for all copies."""

import os
from collections.abc import Mapping

from ray_ft.config import ServingConfig
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError

MAX_CPUS = 8
"""Cores one replica takes on machines without a GPU; more bring a decode loop little."""


def replica_resources(serving: ServingConfig, engine: Engine) -> dict[str, float]:
    """What one replica asks of Ray: `serving.num_gpus`, or those that the engine shares a copy over; without GPUs its
    share of half of the cores.

    The other half is for the processes that speak HTTP: a model with a thread for every core makes all of them wait.
    Ray gives a process as many threads as it asks for cores.
    """
    num_gpus = serving.num_gpus
    if num_gpus is None:
        num_gpus = engine.num_gpus if sum(_resource("GPU")) else 0
    if num_gpus:
        return {"num_gpus": num_gpus, "num_cpus": 1}
    cores = min(max(_resource("CPU"), default=1), os.cpu_count() or 1)
    return {"num_cpus": max(1, min(int(cores / 2 / serving.num_replicas), MAX_CPUS))}


def check_replicas_fit(serving: ServingConfig, resources: Mapping[str, float]) -> None:
    """Raise ConfigError where the cluster, as it is now, cannot hold all replicas; Ray would wait for ever."""
    kind, key = ("GPU", "num_gpus") if "num_gpus" in resources else ("CPU", "num_cpus")
    room = sum(int(there / resources[key]) for there in _resource(kind))
    if room < serving.num_replicas:
        raise ConfigError(
            f"serving.num_replicas: {serving.num_replicas} x {resources[key]:g} {kind} does not fit the cluster, "
            f"which has room for {room}"
        )


def _resource(kind: str) -> list[float]:
    """How much of a resource each living node has."""
    import ray

    return [float(node["Resources"].get(kind, 0)) for node in ray.nodes() if node["Alive"]]
