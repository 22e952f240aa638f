"""The Ray Serve application: a gateway that speaks HTTP, and the replicas that hold the model."""

import os
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from ray_ft.config import ServingConfig
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError
from ray_ft.serving.adapters import Catalogue
from ray_ft.serving.api.errors import Refusal
from ray_ft.serving.api.requests import Ask
from ray_ft.serving.api.responses import Piece, Status
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.replica.replica import LoadingReplica

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

MAX_REQUESTS = 256
"""Requests one process works on at a time; Ray Serve's own default of 5 would let streams starve each other."""
MAX_QUEUED = 1024
"""Requests that wait beyond that before clients are told to come back later."""
MAX_CPUS = 8
"""Cores one replica takes on machines without a GPU; more bring a decode loop little."""


def build_application(
    served: Catalogue,
    base_path: str,
    adapters: Mapping[str, str],
    *,
    engine: Engine,
    serving: ServingConfig,
    chat_template: str | None,
    resources: Mapping[str, float],
) -> "Application":
    """One gateway in front of `serving.num_replicas` copies of the model."""
    from ray import serve

    replica = serve.deployment(
        LoadingReplica,
        name="model",
        num_replicas=serving.num_replicas,
        ray_actor_options=dict(resources),
        max_ongoing_requests=MAX_REQUESTS,
        max_queued_requests=MAX_QUEUED,
        graceful_shutdown_timeout_s=120,  # the default of 20 would cut long answers
        health_check_timeout_s=120,
    ).bind(engine, base_path, dict(adapters), max_new_tokens=serving.max_new_tokens, chat_template=chat_template)
    gateway: Any = serve.deployment(
        serve.ingress()(Gateway),
        name="gateway",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=serving.num_replicas * MAX_REQUESTS + MAX_QUEUED,
    )
    application: Application = gateway.bind(replica, served)
    return application


class Gateway:
    """Ray Serve's ingress: HTTP in, asks to the replicas, HTTP out."""

    def __init__(self, replica: "DeploymentHandle", served: Catalogue) -> None:
        self._backend = ReplicaHandle(replica)
        self._served = served

    def __serve_build_asgi_app__(self) -> Any:
        return create_api(self._served, self._backend)


class ReplicaHandle:
    """`Backend` over a deployment handle; a reader that goes away cancels the work."""

    def __init__(self, handle: "DeploymentHandle") -> None:
        self._handle: Any = handle

    async def status(self) -> Status:
        status: Status = await self._handle.status.remote()
        return status

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        pieces: list[Piece] | Refusal = await self._handle.answer.remote(ask)
        return pieces

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        response = self._handle.options(stream=True).stream.remote(ask)
        try:
            async for item in response:
                yield item
        finally:
            response.cancel()


def replica_resources(serving: ServingConfig) -> dict[str, float]:
    """What one replica asks of Ray: `serving.num_gpus`, and on a machine without GPUs its share of half of the cores.

    The other half is for the processes that speak HTTP: a model with a thread for every core makes all of them wait.
    Ray gives a process as many threads as it asks for cores.
    """
    num_gpus = serving.num_gpus
    if num_gpus is None:
        num_gpus = 1 if sum(_resource("GPU")) else 0
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
