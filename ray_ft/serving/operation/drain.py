"""Stopping without cutting anyone off: new requests are turned away, open ones end by themselves or at a deadline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ray_ft.serving.refusals import Refusal

TURNED_AWAY = Refusal(503, "the server is shutting down and takes no new requests", code="shutting_down")
CUT_OFF = Refusal(503, "the server is shutting down; the answer was cut off", code="shutting_down")
GRACE_SECONDS = 5.0
"""Within which requests that were told of the deadline have to leave."""


class CutOffError(Exception):
    """The deadline came before the model."""


class Drain:
    """What is open in this process, and until when it may be. All of it in one event loop."""

    def __init__(self) -> None:
        self.is_draining = False
        self._deadline: float | None = None  # on the loop's clock
        self._waits: set[asyncio.Timeout] = set()
        self._num_open = 0
        self._num_cut = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """An HTTP request, from its beginning to the last byte of its response."""
        self._num_open += 1
        try:
            yield
        finally:
            self._num_open -= 1
            if self.is_draining:
                async with self._changed:
                    self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """Around what the model is waited for. Raises CutOffError at the deadline, if there is or comes one."""
        timeout = asyncio.timeout_at(self._deadline)
        try:
            async with timeout:
                self._waits.add(timeout)
                yield
        except TimeoutError:
            if timeout.expired():
                self._num_cut += 1
                raise CutOffError from None
            raise
        finally:
            self._waits.discard(timeout)

    async def begin(self, seconds: float) -> int:
        """Turn new requests away and wait, up to `seconds`, until the open ones have ended; returns how many were cut.

        Begun again, it brings the deadline of all that are still open forward.
        """
        self.is_draining = True
        self._deadline = asyncio.get_running_loop().time() + seconds
        for timeout in tuple(self._waits):
            timeout.reschedule(self._deadline)
        if not await self._are_gone(seconds):
            await self._are_gone(GRACE_SECONDS)  # a client that does not read holds nobody up for longer
        return self._num_cut

    async def _are_gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: not self._num_open)
        except TimeoutError:
            return False
        return True
