"""What a stream sends while nothing comes: comments, which keep proxies from cutting it."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from ray_ft.serving.adapters import ServedModel
from ray_ft.serving.api import streams
from ray_ft.serving.api.bodies import CompletionBody, Reply
from ray_ft.serving.api.compare_routes import Arm, _events
from ray_ft.serving.api.streams import PING, streamed
from ray_ft.serving.exchange import Piece
from ray_ft.serving.refusals import ApiError, Refusal

REFUSAL = Refusal(503, "the adapter is still being loaded after 30 s", code="adapter_loading")


class Slow:
    """A stream that goes on when it is told to."""

    def __init__(self, *items: list[Piece] | Refusal) -> None:
        self.items = items
        self.go = asyncio.Semaphore(0)
        self.is_closed = False

    async def pieces(self) -> AsyncGenerator[list[Piece] | Refusal, None]:
        try:
            for item in self.items:
                await self.go.acquire()
                yield item
        finally:
            self.is_closed = True


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_SECONDS", 0.001)


async def response_of(slow: Slow) -> AsyncGenerator[bytes, None]:
    reply = Reply("chatcmpl-1", "handbook", "a" * 12, True, 1)
    response: Any = await streamed(slow.pieces(), reply, 1, {})
    body: AsyncGenerator[bytes, None] = response.body_iterator
    return body


async def beyond_pings(body: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(text async for text in body if text != PING)


@pytest.mark.usefixtures("at_once")
def test_a_stream_that_waits_is_pinged_and_opens_once_it_is_accepted() -> None:
    async def run() -> None:
        slow = Slow([], [Piece(0, "yes", "stop", 1, 1)])
        body = await response_of(slow)
        assert [await anext(body) for _ in range(2)] == [PING, PING]  # its adapter is loaded
        slow.go.release()
        assert b'"role":"assistant"' in await beyond_pings(body)
        assert await anext(body) == PING  # it waits in line
        slow.go.release()
        assert b'"content":"yes"' in await beyond_pings(body)
        assert await beyond_pings(body) == b"data: [DONE]\n\n"
        assert [text async for text in body] == []

    asyncio.run(run())


@pytest.mark.usefixtures("at_once")
def test_a_refusal_after_a_ping_is_an_event() -> None:
    async def run() -> None:
        slow = Slow(REFUSAL)
        body = await response_of(slow)
        assert await anext(body) == PING
        slow.go.release()
        assert b'"code":"adapter_loading"' in await beyond_pings(body)
        assert [text async for text in body] == []
        assert slow.is_closed

    asyncio.run(run())


@pytest.mark.usefixtures("at_once")
def test_a_reader_that_leaves_between_pings_ends_the_work() -> None:
    async def run() -> None:
        slow = Slow([])
        body = await response_of(slow)
        assert await anext(body) == PING
        await body.aclose()
        assert slow.is_closed

    asyncio.run(run())


def test_a_refusal_at_once_has_its_own_status() -> None:
    async def run() -> None:
        slow = Slow(REFUSAL)
        slow.go.release()
        with pytest.raises(ApiError) as refused:
            await response_of(slow)
        assert refused.value.refusal is REFUSAL
        assert slow.is_closed

    asyncio.run(run())


@pytest.mark.usefixtures("at_once")
def test_a_comparison_that_waits_is_pinged() -> None:
    async def run() -> None:
        slow = Slow([], [Piece(0, "yes", "stop", 1, 1)])
        backend: Any = SimpleNamespace(stream=lambda ask: slow.pieces())
        ask = CompletionBody(model="handbook", prompt="p", stream=True).as_ask(None)
        reply = Reply(ask.id, "handbook", "a" * 12, False, 1)
        arm = Arm("handbook", ServedModel("handbook", None, None, "a" * 12, 1), ask, reply, 0.0, None)
        body: Any = _events([arm], backend)
        assert [await anext(body) for _ in range(2)] == [PING, PING]
        slow.go.release()
        slow.go.release()
        assert b'"text":"yes"' in await beyond_pings(body)

    asyncio.run(run())
