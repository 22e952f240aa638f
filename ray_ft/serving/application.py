"""The Ray Serve application: a gateway that speaks HTTP, and the replicas that hold the model."""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from ray_ft.config import ServingConfig
from ray_ft.engines import Engine
from ray_ft.serving.adapters import Catalogue
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.exchange import Ask, Piece, Status
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.replica.replica import LoadingReplica

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

MAX_REQUESTS = 256
"""Requests one process works on at a time; Ray Serve's own default of 5 would let streams starve each other."""
MAX_QUEUED = 1024
"""Requests that wait beyond that before clients are told to come back later."""


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
