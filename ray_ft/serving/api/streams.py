"""Answers over HTTP as they come: server-sent events; and what ends them where nobody listens any more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from ray_ft.serving.api.bodies import DONE, Reply, error_event, event
from ray_ft.serving.api.errors import backend_failure, reached
from ray_ft.serving.exchange import Piece
from ray_ft.serving.refusals import ApiError, Refusal

if TYPE_CHECKING:
    from fastapi import Request, Response

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # no proxy may hold text back
T = TypeVar("T")


async def streamed(
    pieces: AsyncGenerator[list[Piece] | Refusal, None], reply: Reply, num_choices: int, headers: Mapping[str, str]
) -> "Response":
    """The response of a stream; what can be refused is refused before it starts, with its own status code."""
    from fastapi.responses import StreamingResponse

    try:
        first = await reached(anext(pieces))
    except BaseException:
        await pieces.aclose()
        raise
    if isinstance(first, Refusal):
        await pieces.aclose()
        raise ApiError(first)
    return StreamingResponse(
        _events(pieces, reply, num_choices), media_type="text/event-stream", headers={**STREAM_HEADERS, **headers}
    )


async def _events(
    pieces: AsyncGenerator[list[Piece] | Refusal, None], reply: Reply, num_choices: int
) -> AsyncIterator[bytes]:
    """Server-sent events; whatever is known at one moment leaves as one message."""
    async with aclosing(pieces):
        opening = b"".join(map(event, reply.opening(num_choices)))
        if opening:
            yield opening
        try:
            async for batch in pieces:
                if isinstance(batch, Refusal):
                    yield error_event(batch)
                    return
                text = b"".join(event(chunk) for piece in batch for chunk in reply.chunks(piece))
                if text:
                    yield text
        except asyncio.CancelledError:
            raise
        except Exception as error:
            yield error_event(backend_failure(error))
            return
        yield (event(reply.usage_chunk()) if reply.include_usage else b"") + DONE


async def unless_gone(request: "Request", call: Awaitable[T]) -> T | None:
    """What the call gives, or None where the client goes away first, which cancels the call."""
    answer = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await answer if answer.done() else None
    finally:
        gone.cancel()
        if not answer.done():
            answer.cancel()
            await asyncio.wait({answer})


async def _disconnected(request: "Request") -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
