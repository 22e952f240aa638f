"""Every HTTP request goes in and out here: it gets an id, shows its key, and is logged and counted when it ends."""

import json
import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from ray_ft.serving.access.keys import EVERYONE, NOBODY, ApiKey, KeyRing
from ray_ft.serving.access.record import CURRENT, RequestRecord
from ray_ft.serving.api.errors import refused
from ray_ft.serving.api.page_routes import PAGE_ROUTES
from ray_ft.serving.api.request_ids import HEADER, id_of
from ray_ft.serving.operation.drain import TURNED_AWAY, Drain
from ray_ft.serving.operation.metrics import Metrics
from ray_ft.serving.refusals import REQUEST_ID, Refusal

logger = logging.getLogger("ray_ft.access")

OPEN_ROUTES = ("/health", "/ready", *PAGE_ROUTES)
"""What balancers and Kubernetes ask, and the playground's files: without a key, and also while the server drains."""
ADMIN_ROUTES = re.compile(r"/v1/(adapters|aliases|experiments|shadow|load_lora_adapter|unload_lora_adapter)(/|$)")
"""What changes what is served; reading it is for every key that may ask all adapters."""
ADMIN_READS = re.compile(r"/v1/feedback(/|$)")
"""What everybody may add to; reading it shows the words of others."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gate:
    """ASGI middleware. `sends_id`: whether the response's X-Request-Id is its to write; Ray Serve's proxy writes it."""

    def __init__(
        self, app: App, *, keys: Callable[[], KeyRing], drain: Drain, metrics: Metrics, logs: bool, sends_id: bool
    ) -> None:
        self._app = app
        self._keys = keys
        self._drain = drain
        self._metrics = metrics
        self._logs = logs
        self._sends_id = sends_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = id_of(scope["headers"])
        others = [pair for pair in scope["headers"] if pair[0].lower() != HEADER]
        scope["headers"] = [*others, (HEADER, request_id)]  # within, it has this id and no other
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in others}
        record = RequestRecord(request_id.decode())
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        tokens = CURRENT.set(record), REQUEST_ID.set(record.id)
        try:
            async with self._counted(path):
                refusal = self._refusal(record, headers, scope["method"], path)
                app = self._app if refusal is None else _refuse(refusal, record)
                await app(scope, receive, self._noting(send, record))
        finally:
            CURRENT.reset(tokens[0])
            REQUEST_ID.reset(tokens[1])
            self._ended(record, scope, path)

    def _counted(self, path: str) -> AbstractAsyncContextManager[None]:
        """Probes and scrapes hold up no drain."""
        return _Uncounted() if path in (*OPEN_ROUTES, "/metrics") else self._drain.request()

    def _refusal(self, record: RequestRecord, headers: dict[str, str], method: str, path: str) -> Refusal | None:
        """Why this request goes no further; sets the record's key."""
        ring = self._keys()
        found = _presented(headers, ring)
        record.key = found or (NOBODY if ring.keys else EVERYONE)
        if path in OPEN_ROUTES:
            return None
        if found is None and ring.keys:
            return Refusal(401, "no API key, or not one of this server's; send it as `Authorization: Bearer KEY`",
                           code="invalid_api_key")  # fmt: skip
        missing = _missing_scope(record.key, method, path)
        if missing:
            return Refusal(403, f"this key lacks the scope {missing}", code="insufficient_scope")
        return TURNED_AWAY if self._drain.is_draining and path != "/metrics" else None

    def _noting(self, send: Send, record: RequestRecord) -> Send:
        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                ours = [(HEADER, record.id.encode())] if self._sends_id else []
                if record.retry_after is not None:
                    ours.append((b"retry-after", str(record.retry_after).encode()))
                kept = [pair for pair in message["headers"] if pair[0].lower() not in {HEADER, *dict(ours)}]
                message = {**message, "headers": [*kept, *ours]}
            await send(message)

        return noting

    def _ended(self, record: RequestRecord, scope: Scope, path: str) -> None:
        now = time.monotonic()
        route = getattr(scope.get("route"), "path", "") or (path if path in (*OPEN_ROUTES, "/metrics") else "other")
        self._metrics.ended(record, route, now)
        if self._logs and logger.isEnabledFor(logging.INFO):
            line = json.dumps(_line(record, scope["method"], route, now))
            # Finding out which line of code logs takes longer than all the rest.
            logger.handle(logging.LogRecord(logger.name, logging.INFO, __file__, 0, line, (), None))


class _Uncounted(AbstractAsyncContextManager[None]):
    async def __aexit__(self, *exc: object) -> None:
        return None


def _presented(headers: dict[str, str], ring: KeyRing) -> ApiKey | None:
    kind, _, secret = headers.get("authorization", "").partition(" ")
    return ring.find(secret.strip()) if kind.lower() == "bearer" else None


def _missing_scope(key: ApiKey, method: str, path: str) -> str | None:
    """The scope that a request needs and its key has not; None where it may go on."""
    reads = method in ("GET", "HEAD") and key.adapters is None
    if path == "/metrics":
        return None if {"metrics", "admin"} & set(key.scopes) else "metrics"
    if ADMIN_READS.match(path) and method != "POST":
        return None if "admin" in key.scopes else "admin"
    if ADMIN_ROUTES.match(path) and not (reads and "infer" in key.scopes):
        return None if "admin" in key.scopes else "admin"
    return None if {"infer", "admin"} & set(key.scopes) else "infer"


def _refuse(refusal: Refusal, record: RequestRecord) -> App:
    record.refused = refusal.code or ""
    headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "5"}}.get(refusal.status, {})
    return refused(refusal, headers)


def _line(record: RequestRecord, method: str, route: str, now: float) -> dict[str, Any]:
    """What the access log says of a request: never a prompt, an answer or a key."""
    first = min((ask.first_token - ask.opened for ask in record.asks if ask.first_token is not None), default=None)
    return {
        "time": round(time.time(), 3),
        "request_id": record.id,
        "key": record.key.id,
        "method": method,
        "route": route,
        "status": record.status,
        "refused": record.refused or None,
        "models": [f"{ask.adapter}@{ask.version}" for ask in record.asks],
        "finish": [ask.finish for ask in record.asks],
        "prompt_tokens": sum(ask.num_prompt_tokens for ask in record.asks),
        "completion_tokens": sum(ask.num_completion_tokens for ask in record.asks),
        "ttft_s": None if first is None else round(first, 4),
        "duration_s": round(now - record.opened, 4),
    }


def log_to_stderr() -> None:
    """Let access lines out as they are, one JSON object each, whatever else logs in this process."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
