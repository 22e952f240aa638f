"""The thread in which AsyncLLM's loop runs: requests go in from any thread, pieces come out in this one."""

import asyncio
import itertools
import logging
import threading
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ray_ft.engines.loop_thread import LoopThread
from ray_ft.engines.requests import Deliver, GenerateRequest, TextDelta
from ray_ft.engines.text_stream import SECONDS_BETWEEN_PIECES
from ray_ft.engines.vllm.held import HeldAdapters
from ray_ft.engines.vllm.requests import Reader, scoring_params
from ray_ft.engines.vllm.turns import Turns
from ray_ft.engines.vllm.versions import VLLM
from ray_ft.errors import EngineStoppedError, GenerationError, first_line

logger = logging.getLogger(__name__)

BUSY = 8
"""Open answers from which on pieces gather for a while: each costs all of them time."""


@dataclass(eq=False)
class Answer:
    """An open request."""

    request: GenerateRequest
    ids: list[int]
    params: Any
    reader: Reader
    deliver: Deliver
    lora: Any = None
    priority: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    task: "asyncio.Task[None] | None" = None

    def send(self, item: TextDelta | Exception) -> None:
        """Deliver, unless nobody waits."""
        if not self.cancelled.is_set():
            self.deliver(item)


class EngineLoop:
    """Owns the AsyncLLM. Public methods may be called from any thread but its own."""

    def __init__(self, vllm: VLLM, arguments: dict[str, Any]) -> None:
        """Start vLLM; what it raises is passed on."""
        self._vllm = vllm
        self._lock = threading.Lock()
        self._open: set[Answer] = set()
        self._turns = Turns()
        self._numbers = itertools.count()
        self._is_closed = False
        self._thread = LoopThread("vllm")
        try:
            self.engine: Any = self._thread.call(self._start(arguments))
        except BaseException:
            self._thread.end()
            raise
        self.adapters = HeldAdapters(vllm, self.engine, self._thread.call)

    def add(self, answer: Answer) -> None:
        """Let vLLM answer. Raises GenerationError where it cannot any more, or the adapter is not there."""
        with self._lock:
            self._check_alive()
            answer.lora = self.adapters.need(answer.request.adapter)
            answer.priority = self._turns.take(answer.request, len(answer.ids) + answer.params.max_tokens)
            self._open.add(answer)
            self._thread.soon(self._begin, answer)

    def cancel(self, answer: Answer) -> None:
        """Deliver nothing more, and have vLLM stop."""
        answer.cancelled.set()
        with self._lock:
            if answer in self._open and not self._is_closed:
                self._thread.soon(self._cancel, answer)

    def score(self, pieces: Sequence[list[int]], adapter: str | None, num_logprobs: int | None) -> list[Any]:
        """What vLLM knows of each place of each piece."""
        with self._lock:
            self._check_alive()
            lora = self.adapters.need(adapter)
        try:
            return self._thread.call(self._score(pieces, lora, num_logprobs))
        except Exception as error:
            raise GenerationError(f"vLLM cannot score: {first_line(error)}") from error
        finally:
            self._remove(self.adapters.release(lora))

    def unload(self, name: str) -> None:
        """Let go of an adapter once those who ask it have their answers."""
        self._remove(self.adapters.withdraw(name))

    def open_answers(self) -> list[Answer]:
        """All that are not done. Raises GenerationError once vLLM has stopped."""
        with self._lock:
            self._check_alive()
            return list(self._open)

    def close(self) -> None:
        """End vLLM's processes; open answers end in an error."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._thread.call(self._shut_down())
        self._thread.end()

    # --- in the loop's thread -----------------------------------------------------------------------------------------

    async def _start(self, arguments: dict[str, Any]) -> Any:
        return self._vllm.AsyncLLM.from_engine_args(self._vllm.AsyncEngineArgs(**arguments))

    def _begin(self, answer: Answer) -> None:
        answer.task = self._thread.loop.create_task(self._answer(answer))
        if answer.cancelled.is_set():
            answer.task.cancel()
        # A task that is cancelled before its first step never gets to its own end.
        answer.task.add_done_callback(lambda _: self._end(answer))

    def _cancel(self, answer: Answer) -> None:
        if answer.task is not None:
            answer.task.cancel()

    async def _answer(self, answer: Answer) -> None:
        """Pass on what vLLM says; leaving its generator early makes it abort the request."""
        try:
            async with aclosing(self._generate(answer.ids, answer.params, answer.lora, answer.priority)) as outputs:
                async for output in outputs:
                    self._turns.begin(answer.priority)
                    delta = answer.reader.read(output)
                    if delta.text or delta.token_ids or delta.finish_reason is not None:
                        answer.send(delta)
                    if delta.finish_reason is None and len(self._open) > BUSY:
                        await asyncio.sleep(SECONDS_BETWEEN_PIECES)  # outputs add up meanwhile
        except GenerationError as error:
            answer.send(error)
        except Exception as error:
            answer.send(GenerationError(f"vLLM: {first_line(error)}"))

    def _end(self, answer: Answer) -> None:
        with self._lock:
            self._open.discard(answer)
            self._turns.end()
        self._remove(self.adapters.release(answer.lora))

    async def _score(self, pieces: Sequence[list[int]], lora: Any, num_logprobs: int | None) -> list[Any]:
        async def known(ids: list[int]) -> Any:
            told: Any = None
            async with aclosing(self._generate(ids, scoring_params(self._vllm, num_logprobs), lora, 0)) as outputs:
                async for output in outputs:
                    told = output
            return told.prompt_logprobs

        return await asyncio.gather(*map(known, pieces))

    def _generate(self, ids: list[int], params: Any, lora: Any, priority: int) -> Any:
        prompt = {"type": "token", "prompt_token_ids": ids}  # as vLLM's own renderer hands it over
        number = f"ray-ft-{next(self._numbers)}"
        return self.engine.generate(prompt, params, number, lora_request=lora, priority=priority)

    async def _unload(self, number: int) -> None:
        try:
            await self.engine.remove_lora(number)
        except Exception as error:
            logger.warning("vLLM has not let go of an adapter: %s", first_line(error))

    async def _shut_down(self) -> None:
        tasks = []
        for answer in list(self._open):
            answer.send(EngineStoppedError("the model was closed"))
            answer.cancelled.set()
            if answer.task is not None:
                answer.task.cancel()
                tasks.append(answer.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        self.engine.shutdown()

    # --- from either --------------------------------------------------------------------------------------------------

    def _remove(self, number: int | None) -> None:
        if number is not None and not self._is_closed:
            self._thread.start(self._unload(number))

    def _check_alive(self) -> None:
        if self._is_closed:
            raise EngineStoppedError("the model was closed")
        if self.engine.errored:
            raise EngineStoppedError(f"the engine has stopped: {first_line(self.engine.dead_error)}")
