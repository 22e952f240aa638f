"""Every request has an id: the client's `X-Request-Id`, else one of ours; the reply says it."""

import re
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
PLAIN = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """ASGI middleware; the id is in the scope's state, as `request.state.request_id`."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = id_of(scope["headers"])
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()

        async def send_with_id(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (HEADER, request_id)]}
            await send(message)

        await self._app(scope, receive, send_with_id)


def id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id that the client gives its request, where it is one; else a new one."""
    given = next((value for name, value in headers if name.lower() == HEADER), b"")
    return given if PLAIN.fullmatch(given) else f"req_{uuid.uuid4().hex}".encode()
