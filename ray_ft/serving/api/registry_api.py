"""The ASGI application over a registry: OpenAI's routes for every version, and those of our own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.config import ServingConfig
from ray_ft.serving.api.adapter_routes import add_adapter_routes
from ray_ft.serving.api.compare_routes import add_compare_routes
from ray_ft.serving.api.feedback_routes import add_feedback_routes
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.exchange import AdapterBackend
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.feedback import FeedbackLog, Remembering
from ray_ft.serving.registry.registry import Registry
from ray_ft.serving.registry.store import touch
from ray_ft.serving.registry.watch import Watch

if TYPE_CHECKING:
    from fastapi import FastAPI

TOUCH_SECONDS = 3600


def registry_api(
    registry: Registry, backend: AdapterBackend, serving: ServingConfig, *, roots: Sequence[str | Path] = ()
) -> "FastAPI":
    """The application; while it runs, it follows the runs that `serving.watch` names."""
    desk = Desk(
        registry,
        backend,
        roots=[Path(root) for root in roots],
        adapter_wait_s=serving.adapter_wait_s,
        keep_versions=serving.keep_versions,
    )
    replies = Remembering(desk, registry)
    api = create_api(registry, replies)
    add_adapter_routes(api, desk)
    add_compare_routes(api, registry, replies)
    add_feedback_routes(api, replies, FeedbackLog(registry.folder.parent))
    inner = api.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inner(app) as state:
            await desk.resume()
            tasks = [
                asyncio.create_task(Watch(desk, serving.watch).follow()),
                asyncio.create_task(_stay_alive(registry)),
            ]
            try:
                yield state
            finally:
                for task in tasks:
                    task.cancel()

    api.router.lifespan_context = lifespan
    return api


async def _stay_alive(registry: Registry) -> None:
    while True:
        await asyncio.to_thread(touch, registry.folder)
        await asyncio.sleep(TOUCH_SECONDS)
