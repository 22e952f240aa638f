"""How the body of a request is read: refused by its length while it arrives, and as JSON that clients can mean."""

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ray_ft.serving.api.errors import refused
from ray_ft.serving.refusals import ApiError, Refusal, invalid

MAX_BODY_BYTES = 8 * 2**20
"""Far above any prompt that fits a context; a body beyond it is a mistake or an attack."""


class BodyRoute(APIRoute):
    """A route whose body is read here, before FastAPI looks at it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request to the route."""
        handle = super().get_route_handler()

        async def read_first(request: Request) -> Response:
            if self.body_field is None:
                return await handle(request)
            try:
                body = await _body_of(request)
                read = _ReadRequest(request.scope, request.receive, body, _json_of(body))
            except ApiError as error:
                return refused(error.refusal)
            except ClientDisconnect:
                return Response(status_code=499)
            return await handle(read)

        return read_first


class _ReadRequest(Request):
    """A request whose body has been read."""

    def __init__(self, scope: Any, receive: Callable[[], Awaitable[Message]], body: bytes, value: Any) -> None:
        super().__init__(scope, receive)
        self._read_body, self._value = body, value

    async def body(self) -> bytes:
        return self._read_body

    async def json(self) -> Any:
        return self._value


async def _body_of(request: Request) -> bytes:
    """The whole body. Raises ApiError at the first byte too many, or before the first where its length is told."""
    content_type = request.headers.get("content-type", "")
    if not content_type.split(";")[0].strip().lower().endswith("json"):
        told = content_type[:100] or "none"
        raise ApiError(Refusal(415, f"send Content-Type: application/json, not {told}"))
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 18 or int(length) > MAX_BODY_BYTES):
        raise _too_large()
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(read)


def _too_large() -> ApiError:
    return ApiError(Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes"))


def _json_of(body: bytes) -> Any:
    """What the JSON says. Raises ApiError for what is none, numbers and texts that nothing can stand for included."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if (where := _broken_text(body)) is not None:
            raise invalid(
                f"{where or 'the body'}: invalid Unicode, half of a surrogate pair", param=where or None
            ) from None
        raise invalid(f"the body is not valid JSON: {error}") from None


def _broken_text(body: bytes) -> str | None:
    """The field with half of a surrogate pair, which JSON's grammar lets through; "" for a name of a field."""
    if b"\\u" not in body:
        return None
    try:
        left = [("", json.loads(body))]
    except (ValueError, RecursionError):
        return None
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            if not all(map(_is_whole, value)):
                return path
            left += [(f"{path}.{key[:64]}" if path else key[:64], one) for key, one in value.items()]
        elif isinstance(value, list):
            left += [(f"{path}[{number}]", one) for number, one in enumerate(value)]
        elif isinstance(value, str) and not _is_whole(value):
            return path
    return None


def _is_whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
