"""One copy of the model: asks come in at an asynchronous door, the engine answers them together, pieces of text go out.

Runs with or without Ray.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace

from ray_ft.engines import Deliver, GenerateRequest, LoadedModel, TextDelta
from ray_ft.errors import RayFTError, first_line
from ray_ft.serving.exchange import Ask, Piece, Status
from ray_ft.serving.refusals import ApiError, Refusal, invalid

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.03
"""Text gathers this long after a stream's first piece: each message between processes costs about a millisecond."""

Events = asyncio.Queue[tuple[int, TextDelta | Exception]]


class ModelReplica:
    """Loads the model once and answers for it."""

    def __init__(self, model: LoadedModel, *, max_new_tokens: int) -> None:
        self._model = model
        self._max_new_tokens = max_new_tokens
        # Templates and tokenizers hold up neither the loop nor the engine's passes.
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prompts")

    async def status(self) -> Status:
        """How this copy is doing; raises when it can no longer answer."""
        status = self._model.status()
        return Status(self._model.max_seq_len, status.num_running + status.num_waiting)

    def check_health(self) -> None:
        """Called by Ray Serve; an exception makes it replace this replica."""
        self._model.status()

    def close(self) -> None:
        """Let go of the model."""
        self._model.close()

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        """All choices, each as one piece with its full text."""
        pieces: list[Piece] = []
        async with aclosing(self.stream(replace(ask, is_streamed=False))) as stream:
            async for item in stream:
                if isinstance(item, Refusal):
                    return item
                pieces += item
        return _joined(pieces)

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        """First an empty list, once every choice is accepted; then pieces as they come, or a refusal, which ends it.

        Closing the generator, or cancelling the task that reads it, stops the work at the next token.
        """
        events: Events = asyncio.Queue()
        cancels: list[Callable[[], None]] = []
        loop = asyncio.get_running_loop()
        try:
            try:
                requests = await loop.run_in_executor(self._preparing, self._requests, ask)
                for index, request in enumerate(requests):
                    cancels.append(self._model.submit(request, _delivery(loop, events, index)))
            except Exception as error:  # whatever is wrong with one request is its own
                yield _refused(error)
                return
            yield []
            async for item in _delivered(events, len(requests)):
                yield item
        finally:
            for cancel in cancels:
                cancel()

    def _requests(self, ask: Ask) -> list[GenerateRequest]:
        """The engine's requests, one for each choice: prompt by prompt, then sample by sample."""
        requests = []
        for prompt in ask.prompts if ask.messages is None else (self._model.apply_chat_template(ask.messages),):
            ids = tuple(self._model.prompt_ids(prompt))
            requests += [self._request(ask, ids, sample) for sample in range(ask.n)]
        return requests

    def _request(self, ask: Ask, prompt: tuple[int, ...], sample: int) -> GenerateRequest:
        return GenerateRequest(
            prompt=prompt,
            adapter=ask.adapter,
            max_new_tokens=self._token_limit(ask, len(prompt)),
            temperature=ask.temperature,
            top_p=ask.top_p,
            stop=ask.stop,
            seed=ask.seed + sample,  # the first of n samples is the one that n=1 gives
            is_streamed=ask.is_streamed,
            is_background=ask.is_background,
        )

    def _token_limit(self, ask: Ask, num_prompt_tokens: int) -> int:
        """How long the answer may get. Raises ApiError with the numbers when the context cannot hold it."""
        wanted = ask.max_new_tokens
        if wanted is not None and wanted > self._max_new_tokens:
            raise invalid(
                f"max_tokens: {wanted} is more than the {self._max_new_tokens} this server allows", param="max_tokens"
            )
        if num_prompt_tokens + (wanted or 1) > self._model.max_seq_len:
            asked = f" and {wanted} are asked for" if wanted is not None else ", which leaves no room for an answer"
            raise invalid(
                f"The prompt has {num_prompt_tokens} tokens{asked}; the model's context is "
                f"{self._model.max_seq_len} tokens",
                param="prompt" if ask.messages is None else "messages",
                code="context_length_exceeded",
            )
        return wanted or min(self._max_new_tokens, self._model.max_seq_len - num_prompt_tokens)


def _delivery(loop: asyncio.AbstractEventLoop, events: Events, index: int) -> Deliver:
    """Brings what the engine's thread delivers into the loop; once that is closed nobody waits any more."""

    def deliver(item: TextDelta | Exception) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(events.put_nowait, (index, item))

    return deliver


async def _delivered(events: Events, num_choices: int) -> AsyncGenerator[list[Piece] | Refusal, None]:
    """Text as it comes: the first piece at once, later ones gathered, until every choice has finished."""
    loop = asyncio.get_running_loop()
    unfinished, pieces = num_choices, list[Piece]()
    due = loop.time()
    while unfinished:
        arrived = await _next(events, due if pieces else None)
        if arrived is not None:
            index, event = arrived
            if isinstance(event, Exception):
                yield _failed(event)
                return
            pieces.append(
                Piece(index, event.text, event.finish_reason, event.num_prompt_tokens, event.num_completion_tokens)
            )
            unfinished -= event.finish_reason is not None
        if not unfinished or loop.time() >= due:
            yield _joined(pieces)
            pieces, due = [], loop.time() + COALESCE_SECONDS


async def _next(events: Events, due: float | None) -> tuple[int, TextDelta | Exception] | None:
    """The next event; None when its time is up first."""
    try:
        async with asyncio.timeout_at(due):
            return await events.get()
    except TimeoutError:
        return None


def _joined(pieces: list[Piece]) -> list[Piece]:
    """One piece per choice, in order of index."""
    joined: dict[int, Piece] = {}
    for piece in pieces:
        before = joined[piece.index].text if piece.index in joined else ""
        joined[piece.index] = replace(piece, text=before + piece.text)
    return [joined[index] for index in sorted(joined)]


def _refused(error: Exception) -> Refusal:
    """A request that the engine did not accept: its own fault if the error is one of ours."""
    if isinstance(error, ApiError):
        return error.refusal
    return Refusal(400, first_line(error)) if isinstance(error, RayFTError) else _failed(error)


def _failed(error: Exception) -> Refusal:
    """An answer that broke midway is the engine's fault."""
    return Refusal(500, f"the engine failed: {first_line(error)}", code="engine_error")
