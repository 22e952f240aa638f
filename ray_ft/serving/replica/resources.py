"""What one copy of the model asks of the cluster, and whether the cluster has room for all copies."""

import os
from collections.abc import Mapping
from typing import Any

from ray_ft.config import ServingConfig
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError

MAX_CPUS = 8
"""Cores one replica takes on machines without a GPU; more bring a decode loop little."""

UPSCALE_DELAY_SECONDS = 5.0
"""How long there has to be too much to do before another copy is started; loading one takes longer."""


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


def replica_scaling(serving: ServingConfig) -> dict[str, Any]:
    """How many copies Ray Serve keeps, as arguments of a deployment."""
    if serving.max_replicas is None:
        return {"num_replicas": serving.num_replicas}
    scaling = {
        "min_replicas": serving.num_replicas if serving.min_replicas is None else serving.min_replicas,
        "initial_replicas": serving.num_replicas,
        "max_replicas": serving.max_replicas,
        "target_ongoing_requests": serving.requests_per_replica,
        "upscale_delay_s": UPSCALE_DELAY_SECONDS,
        "downscale_delay_s": serving.idle_seconds,
    }
    return {"autoscaling_config": scaling}


def check_replicas_fit(serving: ServingConfig, resources: Mapping[str, float]) -> None:
    """Raise ConfigError where the cluster, as it is now, cannot hold the replicas it starts with.

    Ray would wait for ever. More of them, up to max_replicas, wait for room while those that are there answer.
    """
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
