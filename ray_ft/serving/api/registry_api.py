"""The ASGI application over a registry: OpenAI's routes for every version, and those of our own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ray_ft.serving.api.adapter_routes import add_adapter_routes
from ray_ft.serving.api.compare_routes import add_compare_routes
from ray_ft.serving.api.feedback_routes import add_feedback_routes
from ray_ft.serving.api.page_routes import add_page_routes
from ray_ft.serving.api.retrieval import Retrieval
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.exchange import Backend
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.feedback import FeedbackLog
from ray_ft.serving.registry.store import touch
from ray_ft.serving.registry.watch import Watch

if TYPE_CHECKING:
    from fastapi import FastAPI

TOUCH_SECONDS = 3600


def registry_api(
    desk: Desk,
    backend: Backend,
    *,
    watch: Mapping[str, str],
    engine: Mapping[str, Any] | None = None,
    retrieval: Retrieval | None = None,
    is_strict: bool = False,
) -> "FastAPI":
    """The application; while it runs, it follows the runs of `watch`, name: folder.

    `backend` is the desk, or what lets asks through to it; `engine` and `is_strict` as in `create_api`.
    """
    from fastapi import APIRouter

    from ray_ft.serving.api import openapi
    from ray_ft.serving.api.reading import BodyRoute

    retrieval = retrieval or Retrieval(backend)
    api = create_api(desk.registry, backend, engine=engine, retrieval=retrieval, is_strict=is_strict)
    routes = APIRouter(route_class=BodyRoute, responses=openapi.ERRORS)
    add_adapter_routes(api, routes, desk)
    add_compare_routes(routes, desk.registry, backend, engine or {}, retrieval, is_strict=is_strict)
    add_feedback_routes(routes, desk.replies, FeedbackLog(desk.registry.folder.parent))
    api.include_router(routes)
    add_page_routes(api)
    inner = api.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inner(app) as state:
            await desk.resume()
            tasks = [asyncio.create_task(Watch(desk, watch).follow()), asyncio.create_task(_stay_alive(desk))]
            try:
                yield state
            finally:
                for task in tasks:
                    task.cancel()

    api.router.lifespan_context = lifespan
    return api


async def _stay_alive(desk: Desk) -> None:
    while True:
        await asyncio.to_thread(touch, desk.registry.folder)
        await asyncio.sleep(TOUCH_SECONDS)
