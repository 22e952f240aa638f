"""POST /v1/compare: several models answer the same prompt with the same seed and sampling, side by side."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from ray_ft.serving.access.record import visible
from ray_ft.serving.adapters import Models, ServedModel
from ray_ft.serving.api import streams
from ray_ft.serving.api.bodies import DONE, ChatBody, CompletionBody, Reply, event, json_bytes, provenance
from ray_ft.serving.api.bodies.messages import Passages
from ray_ft.serving.api.errors import backend_failure, validation_refusal
from ray_ft.serving.api.retrieval import Grounded, Retrieval
from ray_ft.serving.api.streams import STREAM_HEADERS, while_heard
from ray_ft.serving.exchange import Ask, Backend
from ray_ft.serving.refusals import ApiError, Refusal, invalid

if TYPE_CHECKING:
    from fastapi import APIRouter

MAX_ARMS = 16


class CompareBody(BaseModel):
    """The models, and what a chat or a completion takes beside its own."""

    model_config = ConfigDict(extra="allow")
    models: Annotated[list[StrictStr], Field(min_length=1, max_length=MAX_ARMS)]


@dataclass
class Arm:
    """One model's part."""

    name: str  # as it was asked for
    model: ServedModel
    ask: Ask
    reply: Reply
    began: float
    retrieval: Passages | bool | None
    num_tokens: dict[int, int] = field(default_factory=dict)  # of each choice so far

    def put(self, grounded: Grounded) -> None:
        """Ask with passages."""
        self.ask = replace(self.ask, messages=grounded.messages)
        self.reply.provenance = {**(self.reply.provenance or {}), **grounded.provenance}

    def about(self) -> dict[str, Any]:
        """What is told of it beside its answer."""
        return {"arm": self.name, "version": self.model.version}

    def seconds(self) -> float:
        """Since it was asked."""
        return round(time.monotonic() - self.began, 3)


def add_compare_routes(
    routes: "APIRouter",
    models: Models,
    backend: Backend,
    engine: Mapping[str, Any],
    retrieval: Retrieval,
    *,
    is_strict: bool = False,
) -> None:
    """Declare the route."""
    from fastapi import Request, Response
    from fastapi.responses import StreamingResponse

    async def compare(body: CompareBody, request: Request) -> Response:
        fields = dict(body.model_extra or {})
        if len(set(body.models)) < len(body.models):
            raise invalid("models: each only once", param="models")
        if fields.get("seed") is None:
            fields["seed"] = secrets.randbits(31)  # the same for all
        arms = [_arm(name, fields, visible(models), engine, is_strict=is_strict) for name in body.models]
        if arms[0].retrieval:  # once: all are asked the same
            grounded = await retrieval.ground(arms[0].ask, arms[0].retrieval)
            for arm in arms:
                arm.put(grounded)
        about = {"id": f"compare-{uuid.uuid4().hex}", "created": arms[0].reply.created, "seed": fields["seed"]}
        if fields.get("stream"):
            return StreamingResponse(_events(arms, backend), media_type="text/event-stream", headers=STREAM_HEADERS)
        async with while_heard(request):
            rows = await asyncio.gather(*(_answered(arm, backend) for arm in arms))
        comparison = {**about, "object": "comparison", "arms": rows}
        return Response(json_bytes(comparison), media_type="application/json")

    routes.post("/v1/compare")(compare)


def _arm(name: str, fields: dict[str, Any], models: Models, engine: Mapping[str, Any], *, is_strict: bool) -> Arm:
    body_type = ChatBody if "messages" in fields else CompletionBody
    try:
        body = body_type.model_validate(fields | {"model": name})
    except ValidationError as error:
        raise ApiError(
            validation_refusal([{**e, "loc": ("body", *e["loc"])} for e in error.errors()], fields)
        ) from None
    body.ignored_fields(is_strict=is_strict)
    model = models.find(name, user=body.end_user())
    ask = body.as_ask(model.adapter)
    reply = Reply(
        ask.id,
        name,
        model.version,
        body_type is ChatBody,
        ask.n,
        provenance=provenance(model, models, engine),
        has_logprobs=ask.num_logprobs is not None,
    )
    return Arm(name, model, ask, reply, time.monotonic(), getattr(body, "retrieval", None))


async def _answered(arm: Arm, backend: Backend) -> dict[str, Any]:
    """An arm's answer, or why there is none: the others have theirs."""
    try:
        answer = await backend.answer(arm.ask)
    except Exception as error:
        answer = backend_failure(error)
    if isinstance(answer, Refusal):
        return {**arm.about(), "seconds": arm.seconds(), "response": None, **answer.body()}
    return {**arm.about(), "seconds": arm.seconds(), "response": arm.reply.whole(answer)}


async def _events(arms: list[Arm], backend: Backend) -> AsyncIterator[bytes]:
    """Chunks of all arms as they come, each with its `arm`; an arm that breaks says so and leaves the others alone."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(arm, backend, queue)) for arm in arms]
    try:
        unfinished = len(arms)
        while unfinished:
            try:
                async with asyncio.timeout(streams.PING_SECONDS):
                    text = await queue.get()
            except TimeoutError:
                text = streams.PING
            if text is None:
                unfinished -= 1
            else:
                yield text
        yield DONE
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(arm: Arm, backend: Backend, queue: "asyncio.Queue[bytes | None]") -> None:
    def put(chunk: dict[str, Any]) -> None:
        queue.put_nowait(event({**chunk, **arm.about(), "completion_tokens": sum(arm.num_tokens.values())}))

    num_choices = arm.ask.n * max(len(arm.ask.prompts), 1)
    refusal: Refusal | None = None
    try:
        async with aclosing(backend.stream(arm.ask)) as stream:
            async for item in stream:
                if isinstance(item, Refusal):
                    refusal = item
                    break
                if not item:
                    for chunk in arm.reply.opening(num_choices):
                        put(chunk)
                for piece in item:
                    arm.num_tokens[piece.index] = max(piece.num_completion_tokens, arm.num_tokens.get(piece.index, 0))
                    for chunk in arm.reply.chunks(piece):
                        put(chunk)
    except Exception as error:
        refusal = backend_failure(error)
    if refusal is not None:
        put(refusal.body())
    else:
        put({"id": arm.reply.id, "object": "comparison.arm", "usage": arm.reply.usage(), "seconds": arm.seconds()})
    queue.put_nowait(None)
