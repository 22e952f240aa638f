"""An asyncio loop in a thread of its own, for engines whose libraries are asynchronous."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """Work may be handed over from any thread; waiting for it is for others than the loop's own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Begin; the future's `cancel` cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do and wait."""
        return self.start(work).result()

    def soon(self, do: Callable[..., Any], *given: Any) -> None:
        """Do in the loop's thread, after what was handed over before."""
        self.loop.call_soon_threadsafe(do, *given)

    def end(self) -> None:
        """Stop the loop after what was handed over, and end the thread."""
        self.soon(self.loop.stop)
        self._thread.join()
        self.loop.close()
