"""One copy of the model: asks come in at an asynchronous door, one thread answers them in turn, pieces of text go out.

Runs with or without Ray.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ray_ft.engines import Engine, GenerateRequest, LoadedModel, TextDelta
from ray_ft.errors import RayFTError, first_line
from ray_ft.serving.exchange import Ask, Piece, Status
from ray_ft.serving.refusals import ApiError, Refusal, invalid

logger = logging.getLogger(__name__)

MAX_OPEN = 8
"""Answers that advance in turn; more wait, because each open one holds its own keys and values in memory."""

COALESCE_SECONDS = 0.03
"""Text gathers this long after a stream's first piece: each message between processes costs about a millisecond."""


# --- the thread -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accepted:
    """The request is fine and has its place; text follows."""


@dataclass(frozen=True)
class Broken:
    """The request was refused (nothing was delivered before) or its answer failed midway; nothing follows."""

    error: Exception


Event = Accepted | TextDelta | Broken


@dataclass(eq=False)
class Job:
    """One answer to make. `prepare` runs in the model's thread; so does `deliver`, which must return at once."""

    prepare: Callable[[LoadedModel], GenerateRequest]
    deliver: Callable[[Event], None]
    adapter: str = ""
    cancelled: bool = False  # set by the asker, seen before the next token
    stream: Iterator[TextDelta] = field(default_factory=lambda: iter(()))


class ModelThread:
    """Runs a loaded model away from the event loop."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._inbox: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._open: list[Job] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once the thread has ended, by `close` or by a bug."""
        return self._thread.is_alive()

    @property
    def num_open(self) -> int:
        """Answers being made or waiting to be."""
        return len(self._open) + len(self._waiting)

    def submit(self, jobs: list[Job]) -> None:
        """Hand over jobs that belong together: all are checked before the first of them is answered.

        Every job ends in a finished delta or in `Broken`, unless it is cancelled.
        """
        self._inbox.put(jobs)

    def close(self) -> None:
        """Stop after the current token; open answers are dropped."""
        self._inbox.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._closed:
            self._take_new()
            self._waiting = deque(job for job in self._waiting if not job.cancelled)
            while self._waiting and len(self._open) < MAX_OPEN:
                self._open.append(self._waiting[0])  # first in, then out: a job in between would count as gone
                self._waiting.popleft()
            # jobs of one adapter stand together, so that each round switches adapters as rarely as can be
            for job in sorted(self._open, key=lambda job: job.adapter):
                if not self._advance(job):
                    job.stream = iter(())  # lets go of the row's keys and values now, not at the next collection
                    self._open.remove(job)

    def _take_new(self) -> None:
        """Check all new jobs; sleeps only while there is nothing to do."""
        idle = not self._open and not self._waiting
        while True:
            try:
                jobs = self._inbox.get(block=idle)
            except queue.Empty:
                return
            idle = False
            if jobs is None:
                self._closed = True
                return
            for job in jobs:
                self._check(job)

    def _check(self, job: Job) -> None:
        """Refuse a bad request before it waits its turn."""
        try:
            request = job.prepare(self._model)
            job.stream = self._model.stream(request)
        except Exception as error:  # whatever is wrong with one request must not end the thread
            job.deliver(Broken(error))
            return
        job.adapter = request.adapter or ""
        self._waiting.append(job)
        job.deliver(Accepted())

    def _advance(self, job: Job) -> bool:
        """One more piece of an answer; False when it has ended."""
        if job.cancelled:
            return False
        try:
            delta = next(job.stream, None)
        except Exception as error:  # a failed answer ends alone
            logger.exception("an answer failed")
            job.deliver(Broken(error))
            return False
        if delta is None:
            job.deliver(Broken(RuntimeError("the engine ended an answer without a finish reason")))
            return False
        job.deliver(delta)
        return delta.finish_reason is None


# --- the door ---------------------------------------------------------------------------------------------------------


Events = asyncio.Queue[tuple[int, Event]]


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
