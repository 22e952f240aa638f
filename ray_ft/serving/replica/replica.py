"""One copy of the model: asks come in at an asynchronous door, the engine answers them together, pieces of text go out.

Runs with or without Ray.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import TypeVar

from ray_ft.engines import Deliver, GenerateRequest, LoadedModel, TextDelta, TokenLogprob
from ray_ft.errors import EngineStoppedError, MissingDependencyError, PromptTooLongError, RayFTError, first_line
from ray_ft.serving.exchange import Ask, Piece, Status
from ray_ft.serving.refusals import ApiError, Refusal, invalid, unsupported
from ray_ft.serving.replica.tool_calls import CallReader, TemplateTools, probe_template

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.03
"""Text gathers this long after a stream's first piece: each message between processes costs about a millisecond."""

TOLD = {f.name for f in fields(GenerateRequest)} & {f.name for f in fields(Ask)} - {"max_new_tokens", "seed"}
"""What the engine is told as it was asked, for every choice."""

TEMPLATES = 256
"""Adapters of which it is remembered what their chat templates do with tools."""
SCORED_AT_ONCE = 4
"""Requests whose prompts' log-probabilities are waited for at a time; others wait for these."""

Events = asyncio.Queue[tuple[int, TextDelta | Exception]]
T = TypeVar("T")


class ModelReplica:
    """Loads the model once and answers for it."""

    def __init__(self, model: LoadedModel, *, max_new_tokens: int) -> None:
        self._model = model
        self._max_new_tokens = max_new_tokens
        self._tools_of = lru_cache(TEMPLATES)(self._probe)
        # Templates and tokenizers hold up neither the loop nor the engine's passes.
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prompts")
        self._scoring = ThreadPoolExecutor(SCORED_AT_ONCE, thread_name_prefix="scores")

    async def status(self) -> Status:
        """How this copy is doing; raises when it can no longer answer."""
        status = self._model.status()
        return Status(self._model.max_seq_len, status.num_running + status.num_waiting, status.num_waiting)

    def check_health(self) -> None:
        """Called by Ray Serve; an exception makes it replace this replica."""
        self._model.status()

    def close(self) -> None:
        """Let go of the model, once what is being prepared is."""
        self._preparing.shutdown()
        self._model.close()
        self._scoring.shutdown(wait=False)

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        """All choices, each as one piece with its full text."""
        pieces: list[Piece] = []
        whole = replace(ask, is_streamed=False) if ask.is_streamed else ask
        async with aclosing(self.stream(whole)) as stream:
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
        submitting = self._preparing.submit(self._submit, ask, lambda index: _delivery(loop, events, index), cancels)
        try:
            try:
                choices = await asyncio.wrap_future(submitting)
                told = await self._prompt_logprobs(ask, choices)
            except Exception as error:  # whatever is wrong with one request is its own
                yield _refused(error, ask)
                return
            yield []
            if ask.echo:
                yield [_echoed(index, choices[index], told[index], ask) for index in range(len(choices))]
            if ask.max_new_tokens == 0:
                return
            readers = [CallReader(ask.tools, is_list=ask.must_call) for _ in choices] if self._reads_calls(ask) else []
            async for item in _delivered(events, len(choices), readers):
                yield item
        finally:  # at once, or when what is being submitted has been
            submitting.add_done_callback(lambda _: [cancel() for cancel in cancels])

    async def tokenize(
        self, ask: Ask, *, add_special_tokens: bool, with_texts: bool
    ) -> list[tuple[int, str | None]] | Refusal:
        """Ids of the ask's only prompt, each with its text where that is wanted."""

        def tokens() -> list[tuple[int, str | None]]:
            (prompt,) = self._prompts(ask)
            if not add_special_tokens and isinstance(prompt, str):
                self._model.prompt_ids(prompt)  # refuses what is too long before it takes time
            ids = self._ids(prompt, ask.adapter) if add_special_tokens else self._model.token_ids(str(prompt))
            return [(i, self._model.detokenize([i]) if with_texts else None) for i in ids]

        return await self._prepared(tokens, ask)

    async def detokenize(self, ids: Sequence[int]) -> str | Refusal:
        """Text of ids, special tokens included."""

        def text() -> str:
            try:
                return self._model.detokenize(ids)
            except Exception as error:  # tokenizers raise what they like on ids that they do not know
                raise invalid(f"tokens: not ids of this model: {first_line(error)}", param="tokens") from None

        return await self._prepared(text)

    async def _prepared(self, work: Callable[[], T], ask: Ask | None = None) -> T | Refusal:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._preparing, work)
        except Exception as error:
            return _refused(error, ask)

    def _submit(
        self, ask: Ask, delivery: Callable[[int], Deliver], cancels: list[Callable[[], None]]
    ) -> list[tuple[tuple[int, ...], str]]:
        """Ask the engine for each choice, prompt by prompt, then sample by sample, if it is to have any tokens.

        Returns the ids of each choice's prompt, and the text that is echoed.
        """
        requests, choices = list[GenerateRequest](), list[tuple[tuple[int, ...], str]]()
        for prompt in self._prompts(ask):
            ids = self._ids(prompt, ask.adapter)
            requests += [self._request(ask, ids, sample) for sample in range(ask.n)]
            echo = prompt if isinstance(prompt, str) else self._model.detokenize(ids) if ask.echo else ""
            choices += [(ids, echo)] * ask.n
        for index, request in enumerate(requests if ask.max_new_tokens != 0 else ()):
            cancels.append(self._model.submit(request, delivery(index)))
        return choices

    async def _prompt_logprobs(
        self, ask: Ask, choices: Sequence[tuple[tuple[int, ...], str]]
    ) -> list[tuple[TokenLogprob, ...]]:
        """What is told of the prompt of each choice; a prompt is scored once for all of its samples."""
        most = ask.num_logprobs
        if not ask.echo or most is None:
            return [()] * len(choices)
        prompts = [ids for ids, _ in choices[:: ask.n]]
        told = await asyncio.get_running_loop().run_in_executor(
            self._scoring, lambda: self._model.prompt_logprobs(prompts, adapter=ask.adapter, num_logprobs=most)
        )
        return [tuple(tokens) for tokens in told for _ in range(ask.n)]

    def _prompts(self, ask: Ask) -> Sequence[str | tuple[int, ...]]:
        """Finished prompts. Raises ApiError where the template cannot do what is asked of it."""
        if ask.messages is None:
            return ask.prompts
        if ask.tools and not self._tools_of(ask.adapter).shows_tools:
            raise unsupported("tools", "this model's chat template has no place for them; leave it out")
        try:
            options = {"adapter": ask.adapter, **({"tools": ask.tools} if ask.tools else {}), **ask.template_kwargs}
            return [self._model.apply_chat_template(ask.messages, **options)]
        except RayFTError as error:
            raise invalid(first_line(error), param="messages") from None
        except Exception as error:  # a template may raise anything on values that it does not expect
            raise invalid(f"the chat template refuses these messages: {first_line(error)}", param="messages") from None

    def _ids(self, prompt: str | tuple[int, ...], adapter: str | None) -> tuple[int, ...]:
        return tuple(self._model.prompt_ids(prompt, adapter=adapter)) if isinstance(prompt, str) else prompt

    def _probe(self, adapter: str | None) -> TemplateTools:
        return probe_template(partial(self._model.apply_chat_template, adapter=adapter))

    def _reads_calls(self, ask: Ask) -> bool:
        """Whether calls are looked for in the answers. Those in a form of the template's own stay text."""
        return bool(ask.tools) and (ask.must_call or self._tools_of(ask.adapter).writes_calls)

    def _request(self, ask: Ask, prompt: tuple[int, ...], sample: int) -> GenerateRequest:
        return GenerateRequest(
            prompt=prompt,
            max_new_tokens=self._token_limit(ask, len(prompt)),
            seed=ask.seed + sample,  # the first of n samples is the one that n=1 gives
            **{name: getattr(ask, name) for name in TOLD},
        )

    def _token_limit(self, ask: Ask, num_prompt_tokens: int) -> int:
        """How long the answer may get. Raises ApiError with the numbers when the context cannot hold it."""
        wanted = ask.max_new_tokens
        if wanted is not None and wanted > self._max_new_tokens:
            raise invalid(
                f"max_tokens: {wanted} is more than the {self._max_new_tokens} this server allows", param="max_tokens"
            )
        if num_prompt_tokens + (1 if wanted is None else wanted) > self._model.max_seq_len:
            asked = f" and {wanted} are asked for" if wanted is not None else ", which leaves no room for an answer"
            raise invalid(
                f"The prompt has {num_prompt_tokens} tokens{asked}; "
                f"the model's context is {self._model.max_seq_len} tokens",
                param=_prompt_param(ask),
                code="context_length_exceeded",
            )
        return min(self._max_new_tokens, self._model.max_seq_len - num_prompt_tokens) if wanted is None else wanted


def _echoed(index: int, choice: tuple[tuple[int, ...], str], told: tuple[TokenLogprob, ...], ask: Ask) -> Piece:
    """A choice's prompt, which is all of it where no token is wanted."""
    ids, text = choice
    if ask.max_new_tokens == 0:
        return Piece(index, text, "length", num_prompt_tokens=len(ids), logprobs=told)
    return Piece(index, text, logprobs=told)


def _delivery(loop: asyncio.AbstractEventLoop, events: Events, index: int) -> Deliver:
    """Brings what the engine's thread delivers into the loop; once that is closed nobody waits any more."""

    def deliver(item: TextDelta | Exception) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(events.put_nowait, (index, item))

    return deliver


async def _delivered(
    events: Events, num_choices: int, readers: Sequence[CallReader] = ()
) -> AsyncGenerator[list[Piece] | Refusal, None]:
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
            piece = Piece(
                index, event.text, event.finish_reason, event.num_prompt_tokens, event.num_completion_tokens,
                event.logprobs, num_cached_tokens=event.num_cached_tokens,
            )  # fmt: skip
            pieces.append(readers[index].read(piece) if readers else piece)
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
        before = joined.get(piece.index)
        joined[piece.index] = (
            piece
            if before is None
            else replace(
                piece,
                text=before.text + piece.text,
                logprobs=before.logprobs + piece.logprobs,
                tool_calls=before.tool_calls + piece.tool_calls,
            )
        )
    return [joined[index] for index in sorted(joined)]


def _refused(error: Exception, ask: Ask | None = None) -> Refusal:
    """A request that the engine did not accept: its own fault if the error is one of ours."""
    if isinstance(error, ApiError):
        return error.refusal
    if isinstance(error, PromptTooLongError) and ask is not None:
        return Refusal(400, first_line(error), code="context_length_exceeded", param=_prompt_param(ask))
    if isinstance(error, MissingDependencyError) and ask is not None:
        return Refusal(400, first_line(error), code="unsupported_parameter", param=ask.schema_param or None)
    if isinstance(error, EngineStoppedError):  # Ray Serve starts another copy
        return Refusal(503, f"the model cannot answer: {first_line(error)}", code="engine_error")
    return Refusal(400, first_line(error)) if isinstance(error, RayFTError) else _failed(error)


def _prompt_param(ask: Ask) -> str:
    return "prompt" if ask.messages is None else "messages"


def _failed(error: Exception) -> Refusal:
    """An answer that broke midway is the engine's fault."""
    return Refusal(500, f"the engine failed: {first_line(error)}", code="engine_error")
