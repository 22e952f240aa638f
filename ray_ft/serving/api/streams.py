"""Answers over HTTP as they come: server-sent events; and what ends them where nobody listens any more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from ray_ft.serving.api.bodies import DONE, Reply, error_event, event
from ray_ft.serving.api.errors import backend_failure, reaching
from ray_ft.serving.exchange import Piece
from ray_ft.serving.refusals import ApiError, Refusal

if TYPE_CHECKING:
    from fastapi import Request, Response

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # no proxy may hold text back
PING = b": ping\n\n"
"""A comment, which readers of events pass over: proxies cut connections on which nothing comes."""
PING_SECONDS = 10.0
"""How long nothing comes before a ping does."""

Items = AsyncGenerator[list[Piece] | Refusal, None]


async def streamed(pieces: Items, reply: Reply, num_choices: int, headers: Mapping[str, str]) -> "Response":
    """The response of a stream; what is refused before the first ping is due has its own status code."""
    from fastapi.responses import StreamingResponse

    items = with_silences(pieces)
    try:
        with reaching():
            first = await anext(items)
    except BaseException:
        await items.aclose()
        raise
    if isinstance(first, Refusal):
        await items.aclose()
        raise ApiError(first)
    return StreamingResponse(
        _events(first, items, reply, num_choices),
        media_type="text/event-stream",
        headers={**STREAM_HEADERS, **headers},
    )


async def with_silences(pieces: Items) -> AsyncGenerator[list[Piece] | Refusal | None, None]:
    """What comes, and None whenever nothing has come for as long as a ping waits."""
    coming: asyncio.Task[list[Piece] | Refusal | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(pieces, None))
            await asyncio.wait([coming], timeout=PING_SECONDS)
            if not coming.done():
                yield None
                continue
            item, coming = coming.result(), None
            if item is None:
                return
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await pieces.aclose()


async def _events(
    first: list[Piece] | None,
    items: AsyncGenerator[list[Piece] | Refusal | None, None],
    reply: Reply,
    num_choices: int,
) -> AsyncIterator[bytes]:
    """Server-sent events; whatever is known at one moment leaves as one message."""

    def text_of(item: list[Piece] | None) -> bytes:
        if item is None:
            return PING
        chunks = [chunk for piece in item for chunk in reply.chunks(piece)] if item else reply.opening(num_choices)
        return b"".join(map(event, chunks))

    async with aclosing(items):
        if text := text_of(first):
            yield text
        try:
            async for item in items:
                if isinstance(item, Refusal):
                    yield error_event(item)
                    return
                if text := text_of(item):
                    yield text
        except asyncio.CancelledError:
            raise
        except Exception as error:
            yield error_event(backend_failure(error))
            return
        yield (event(reply.usage_chunk()) if reply.include_usage else b"") + DONE


@asynccontextmanager
async def while_heard(request: "Request") -> AsyncIterator[None]:
    """Cancels what is inside once the client has gone away; raises ApiError then, which nobody hears."""
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(_disconnected(request))
    gone.add_done_callback(lambda gone: None if gone.cancelled() else task.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if not gone.done():
            raise
        task.uncancel()
        raise ApiError(Refusal(499, "the client has gone away")) from None
    finally:
        gone.cancel()


async def _disconnected(request: "Request") -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
