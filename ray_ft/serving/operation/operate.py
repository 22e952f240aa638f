"""All that stands around the API of one process: keys, limits, metrics, `/ready`, `/metrics`, and draining."""

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ray_ft.config import ServingConfig
from ray_ft.errors import ConfigError, first_line
from ray_ft.serving.access.keys import ENVIRONMENT, KeyRing, load_keys
from ray_ft.serving.access.limits import Limits
from ray_ft.serving.adapters import Models
from ray_ft.serving.exchange import Backend, Status
from ray_ft.serving.operation.drain import TURNED_AWAY, Drain
from ray_ft.serving.operation.gate import Gate, log_to_stderr
from ray_ft.serving.operation.metrics import Gauges, Metrics
from ray_ft.serving.operation.watch import WatchedBackend
from ray_ft.serving.refusals import ApiError, Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
"""Longest that a probe or a scrape waits for the model: while one loads, Ray Serve holds questions back."""
RELOAD_SECONDS = 5.0
"""How often the file of keys is looked at."""


class Operations:
    """One process's; `sends_id` as in `Gate`."""

    def __init__(
        self, served: Models, backend: Backend, serving: ServingConfig, keys: KeyRing, *, sends_id: bool = True
    ) -> None:
        self._serving = serving
        self._keys = WatchedKeys(keys, serving.keys_file)
        self._limits = Limits(serving.max_open, serving.max_open_tokens)
        self._metrics = Metrics()
        self._drain = Drain()
        self._sends_id = sends_id
        watched = WatchedBackend(
            backend, served, self._limits, self._drain,
            max_new_tokens=serving.max_new_tokens, may_sleep=serving.min_replicas == 0,
        )  # fmt: skip
        self.backend = cast(Backend, watched)
        """What the API has to ask instead."""

    def install(self, api: "FastAPI") -> None:
        """Add the routes, and the gate before all routes."""
        from fastapi import Response
        from prometheus_client import CONTENT_TYPE_LATEST

        async def ready() -> dict[str, Any]:
            if self._drain.is_draining:
                raise ApiError(TURNED_AWAY)
            if await self._model() is None:
                raise ApiError(Refusal(503, "the model is not loaded yet or cannot answer", code="not_ready"))
            return {"status": "ready"}

        async def metrics() -> Any:
            return Response(self._metrics.text(await self._gauges()), headers={"content-type": CONTENT_TYPE_LATEST})

        api.get("/ready")(ready)
        api.get("/metrics", include_in_schema=False)(metrics)
        if self._serving.access_log:
            log_to_stderr()
        api.add_middleware(
            Gate, keys=self._keys, drain=self._drain, metrics=self._metrics, logs=self._serving.access_log,
            sends_id=self._sends_id,
        )  # fmt: skip

    async def drain(self, seconds: float) -> int:
        """Take no more requests and wait for the open ones; returns how many were cut off after `seconds`."""
        return await self._drain.begin(seconds)

    async def _model(self) -> Status | None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.backend.status()
        except Exception as error:  # whatever keeps it from answering
            logger.info("the model does not answer: %s", first_line(error) or type(error).__name__)
            return None

    async def _gauges(self) -> Gauges:
        status = await self._model()
        running, waiting = (
            (None, None) if status is None else (status.num_open - status.num_waiting, status.num_waiting)
        )
        return Gauges(self._limits.num_answers, self._limits.num_tokens, self._drain.is_draining, running, waiting)


class WatchedKeys:
    """The keys as their file has them now, so that one can be taken back while the endpoint runs.

    A file that is gone or broken changes nothing: what was valid stays so, and the log says why.
    """

    def __init__(self, ring: KeyRing, path: str | None) -> None:
        self._ring = ring
        self._path = Path(path).expanduser() if path is not None else None
        self._looked = time.monotonic()
        self._seen = self._stamp()

    def __call__(self) -> KeyRing:
        now = time.monotonic()
        if self._path is not None and now - self._looked >= RELOAD_SECONDS:
            self._looked = now
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._reload(str(self._path))
        return self._ring

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size)

    def _reload(self, path: str) -> None:
        try:
            read = load_keys(path, {})
        except ConfigError as error:
            logger.error("the keys stay as they were: %s", error)
            return
        of_environment = tuple(key for key in self._ring.keys if key.id == ENVIRONMENT)
        self._ring = KeyRing(read.keys + of_environment)
        logger.info("%d API keys read from %s", len(read.keys), path)
