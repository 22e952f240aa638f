"""Every error, whoever raised it, leaves in OpenAI's shape; and says whether trying again can help."""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ray_ft.serving.api.bodies import json_bytes
from ray_ft.serving.refusals import REQUEST_ID, ApiError, Refusal, invalid

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def reached(call: Awaitable[T], *, http_status: int = 500) -> T:
    """The backend's answer; a backend that is gone or broken is an error in OpenAI's shape."""
    try:
        return await call
    except ApiError:
        raise
    except Exception as error:
        raise ApiError(backend_failure(error, http_status)) from error


async def accepted(call: Awaitable[T | Refusal]) -> T:
    """The backend's answer; what it refuses is raised."""
    answer = await reached(call)
    if isinstance(answer, Refusal):
        raise ApiError(answer)
    return answer


def backend_failure(error: Exception, http_status: int = 500) -> Refusal:
    """What a client is told where the backend raised."""
    if type(error).__name__ == "BackPressureError":  # Ray Serve's; named, because this module works without Ray
        return Refusal(429, "too many requests are waiting; try again shortly", code="queue_full")
    logger.error("request %s: the model's replica failed", REQUEST_ID.get(), exc_info=error)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return Refusal(http_status, f"the model cannot answer: {reason}", code="engine_error")


def refused(refusal: Refusal, headers: Mapping[str, str] | None = None) -> "Response":
    """The response for a refusal."""
    from fastapi import Response

    told = dict(headers or {})
    if refusal.status in (429, 503):
        told.setdefault("retry-after", "1")
    elif refusal.status < 500 or refusal.code == "internal_error":
        told["x-should-retry"] = "false"  # OpenAI's clients ask three times where nothing says so
    if refusal.status == 413:
        told["connection"] = "close"  # the rest of the body is not read
    return Response(json_bytes(refusal.body()), refusal.status, told, "application/json")


def answer_errors_as_json(api: "FastAPI") -> None:
    """Install what turns errors into responses."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def on_api_error(request: Any, error: Any) -> "Response":
        return refused(error.refusal)

    async def on_validation_error(request: Any, error: Any) -> "Response":
        return refused(validation_refusal(error.errors(), error.body))

    async def on_http_error(request: Any, error: Any) -> "Response":
        where = f"{request.method} {request.url.path[:200]}"
        message = {404: f"no such route: {where}", 405: f"method not allowed: {where}"}.get(error.status_code)
        return refused(Refusal(error.status_code, message or str(error.detail)), error.headers)

    async def on_bug(request: Any, error: Any) -> "Response":
        return refused(Refusal(500, "internal error; the server's log has the cause", code="internal_error"))

    api.add_exception_handler(ApiError, on_api_error)
    api.add_exception_handler(RequestValidationError, on_validation_error)
    api.add_exception_handler(HTTPException, on_http_error)
    api.add_exception_handler(Exception, on_bug)


def validation_refusal(errors: Sequence[dict[str, Any]], body: Any) -> Refusal:
    """Pydantic's complaint of the first field; of several ways to write it, the one that came furthest."""
    ways = [(_way(error, body), error) for error in errors[:100]]
    first = ways[0][0][:1]
    way, error = max((way for way in ways if way[0][:1] == first), key=lambda way: len(way[0]))
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:64]}" for part in way).removeprefix(".")
    message = error["msg"][0].lower() + error["msg"][1:]
    return invalid(f"{path}: {message}" if path else f"the body: {message}", param=path or None).refusal


def _way(error: dict[str, Any], body: Any) -> list[int | str]:
    """The field's place in the body; pydantic's location names branches of unions too."""
    way: list[int | str] = []
    parts = error["loc"][1:]
    for number, part in enumerate(parts, start=1):
        if isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
        elif isinstance(body, dict) and isinstance(part, str) and part in body:
            if not part.isidentifier():  # a key of the client's own
                return way
            body = body[part]
        elif number < len(parts) or error["type"] != "missing":
            continue
        way.append(part)
    return way
