"""One copy of the model behind an asynchronous door: asks go in, pieces of text come out; runs with or without Ray."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from ray_ft.engines import Engine, GenerateRequest, LoadedModel, TextDelta
from ray_ft.errors import RayFTError, first_line
from ray_ft.serving.exchange import Ask, Piece, Status
from ray_ft.serving.refusals import ApiError, Refusal, invalid
from ray_ft.serving.replica.scheduler import Broken, Event, Job, ModelThread

COALESCE_SECONDS = 0.03
"""Text gathers this long after a stream's first piece: each message between processes costs about a millisecond."""


class ModelReplica:
    """Loads the model once and answers for it."""

    def __init__(self, model: LoadedModel, *, max_new_tokens: int) -> None:
        self._max_seq_len = model.max_seq_len
        self._max_new_tokens = max_new_tokens
        self._thread = ModelThread(model)

    async def status(self) -> Status:
        """How this copy is doing; raises when it can no longer answer."""
        self.check_health()
        return Status(self._max_seq_len, self._thread.num_open)

    def check_health(self) -> None:
        """Called by Ray Serve; an exception makes it replace this replica."""
        if not self._thread.alive:
            raise RuntimeError("the model's thread has ended")

    def close(self) -> None:
        """Stop the model's thread."""
        self._thread.close()

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        """All choices, each as one piece with its full text."""
        pieces: list[Piece] = []
        async with aclosing(self.stream(ask)) as stream:
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
        jobs = [self._job(ask, index, events) for index in range(self._num_choices(ask))]
        try:
            self._thread.submit(jobs)
            for _ in jobs:
                _, event = await events.get()
                if isinstance(event, Broken):
                    yield _refused(event.error)
                    return
            yield []
            async for item in _delivered(events, len(jobs)):
                yield item
        finally:
            for job in jobs:
                job.cancelled = True

    def _num_choices(self, ask: Ask) -> int:
        return ask.n * (1 if ask.messages is not None else len(ask.prompts))

    def _job(self, ask: Ask, index: int, events: "Events") -> Job:
        loop = asyncio.get_running_loop()

        def deliver(event: Event) -> None:
            try:
                loop.call_soon_threadsafe(events.put_nowait, (index, event))
            except RuntimeError:  # the loop is closed: nobody waits any more
                job.cancelled = True

        job = Job(prepare=lambda model: self._request(model, ask, index), deliver=deliver)
        return job

    def _request(self, model: LoadedModel, ask: Ask, index: int) -> GenerateRequest:
        """The engine's request for one choice; runs in the model's thread, because only it may use the tokenizer."""
        if ask.messages is not None:
            prompt = model.apply_chat_template(list(ask.messages))
        else:
            prompt = ask.prompts[index // ask.n]
        return GenerateRequest(
            prompt=prompt,
            adapter=ask.adapter,
            max_new_tokens=self._token_limit(ask, model.count_tokens(prompt)),
            temperature=ask.temperature,
            top_p=ask.top_p,
            stop=ask.stop,
            seed=ask.seed + index % ask.n,  # the first of n samples is the one that n=1 gives
        )

    def _token_limit(self, ask: Ask, num_prompt_tokens: int) -> int:
        """How long the answer may get. Raises ApiError with the numbers when the context cannot hold it."""
        wanted = ask.max_new_tokens
        if wanted is not None and wanted > self._max_new_tokens:
            raise invalid(
                f"max_tokens: {wanted} is more than the {self._max_new_tokens} this server allows", param="max_tokens"
            )
        if num_prompt_tokens + (wanted or 1) > self._max_seq_len:
            asked = f" and {wanted} are asked for" if wanted is not None else ", which leaves no room for an answer"
            raise invalid(
                f"The prompt has {num_prompt_tokens} tokens{asked}; the model's context is {self._max_seq_len} tokens",
                param="prompt" if ask.messages is None else "messages",
                code="context_length_exceeded",
            )
        return wanted or min(self._max_new_tokens, self._max_seq_len - num_prompt_tokens)


class LoadingReplica(ModelReplica):
    """A replica that loads its own model, which is how Ray Serve starts one."""

    def __init__(
        self,
        engine: Engine,
        model_path: str,
        adapters: Mapping[str, str],
        *,
        max_new_tokens: int,
        chat_template: str | None = None,
    ) -> None:
        model = engine.load(model_path, adapters, chat_template=chat_template)
        super().__init__(model, max_new_tokens=max_new_tokens)


async def _delivered(events: "Events", num_choices: int) -> AsyncGenerator[list[Piece] | Refusal, None]:
    """Text as it comes: the first piece at once, later ones gathered, until every choice has finished."""
    loop = asyncio.get_running_loop()
    unfinished, pieces = num_choices, list[Piece]()
    due = loop.time()
    while unfinished:
        arrived = await _next(events, due if pieces else None)
        if arrived is not None:
            index, event = arrived
            if isinstance(event, Broken):
                yield _failed(event.error)
                return
            assert isinstance(event, TextDelta)
            pieces.append(
                Piece(index, event.text, event.finish_reason, event.num_prompt_tokens, event.num_completion_tokens)
            )
            unfinished -= event.finish_reason is not None
        if not unfinished or loop.time() >= due:
            yield _joined(pieces)
            pieces, due = [], loop.time() + COALESCE_SECONDS


async def _next(events: "Events", due: float | None) -> tuple[int, Event] | None:
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
    """A request that the model's thread did not accept: its own fault if the error is one of ours."""
    if isinstance(error, ApiError):
        return error.refusal
    return Refusal(400, first_line(error)) if isinstance(error, RayFTError) else _failed(error)


def _failed(error: Exception) -> Refusal:
    """An answer that broke midway is the engine's fault."""
    return Refusal(500, f"the engine failed: {first_line(error)}", code="engine_error")


Events = asyncio.Queue[tuple[int, Event]]
