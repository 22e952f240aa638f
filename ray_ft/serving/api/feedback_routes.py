"""POST /v1/feedback: what people say of replies; GET /v1/feedback: the data set that comes of it."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from ray_ft.serving.refusals import ApiError, Refusal, invalid
from ray_ft.serving.registry.feedback import FeedbackLog, Form, Replies, Reply

if TYPE_CHECKING:
    from fastapi import APIRouter

MAX_COMMENT = 4000


class FeedbackBody(BaseModel):
    """What somebody says of one choice of a reply."""

    model_config = ConfigDict(extra="forbid")
    id: Annotated[StrictStr, Field(max_length=200)]
    index: Annotated[StrictInt, Field(ge=0)] = 0
    score: Annotated[float, Field(ge=-1, le=1)] | None = None
    preferred_over: Annotated[StrictStr, Field(max_length=200)] | None = None
    preferred_over_index: Annotated[StrictInt, Field(ge=0)] = 0
    comment: Annotated[StrictStr, Field(max_length=MAX_COMMENT)] = ""


def add_feedback_routes(routes: "APIRouter", replies: Replies, log: FeedbackLog) -> None:
    """Declare the routes."""
    from fastapi.responses import PlainTextResponse

    def known(id: str, index: int, param: str) -> Reply:
        reply = replies.find(id, index)
        if reply is None:
            message = f"{param}: no recent reply {id!r} with a choice {index}; only the latest ones are remembered"
            raise ApiError(Refusal(404, message, code="reply_not_found", param=param))
        return reply

    async def give(body: FeedbackBody) -> dict[str, Any]:
        if body.score is None and body.preferred_over is None and not body.comment:
            raise invalid("score: give a score, preferred_over or a comment", param="score")
        reply = known(body.id, body.index, "id")
        other = None
        if body.preferred_over is not None:
            other = known(body.preferred_over, body.preferred_over_index, "preferred_over")
            if other == reply or other.prompt != reply.prompt:
                raise invalid("preferred_over: must be another answer to the same prompt", param="preferred_over")
        await asyncio.to_thread(log.append, reply, score=body.score, other=other, comment=body.comment)
        return {"object": "feedback", "id": body.id, "model": reply.model}

    async def data_set(format: Form = "preference") -> Any:
        text = await asyncio.to_thread(lambda: "".join(f"{row}\n" for row in log.rows(format)))
        return PlainTextResponse(text, media_type="application/x-ndjson")

    routes.post("/v1/feedback")(give)
    routes.get("/v1/feedback")(data_set)
