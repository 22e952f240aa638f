"""The routes of the OpenAI-style API over any backend that turns asks into pieces of text."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ray_ft.serving.adapters import Models
from ray_ft.serving.api.bodies import DONE, ChatBody, CompletionBody, Reply, error_event, event, model_row, user_of
from ray_ft.serving.exchange import Ask, Backend, Piece
from ray_ft.serving.refusals import ApiError, Refusal, invalid

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 * 2**20
"""Far above any prompt that fits a context; a body beyond it is a mistake or an attack."""
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # no proxy may hold text back
T = TypeVar("T")


def create_api(catalogue: Models, backend: Backend) -> "FastAPI":
    """The ASGI application."""
    from fastapi import Depends, FastAPI, Request
    from fastapi.responses import JSONResponse

    api = FastAPI(title="ray_ft", description="Base model and adapters behind an OpenAI-style API.")
    _answer_errors_as_json(api)

    async def health() -> dict[str, Any]:
        status = await _reached(backend.status(), http_status=503)
        return {"status": "ok", "models": list(catalogue.ids), "num_open": status.num_open}

    async def models() -> dict[str, Any]:
        max_seq_len = (await _reached(backend.status())).max_seq_len
        return {"object": "list", "data": [model_row(m, catalogue, max_seq_len=max_seq_len) for m in catalogue.models]}

    async def model(name: str) -> dict[str, Any]:
        found = catalogue.find(name)
        return model_row(found, catalogue, max_seq_len=(await _reached(backend.status())).max_seq_len)

    async def chat(body: ChatBody) -> Any:
        return await respond(body, is_chat=True)

    async def complete(body: CompletionBody) -> Any:
        return await respond(body, is_chat=False)

    async def respond(body: ChatBody | CompletionBody, *, is_chat: bool) -> "Response":
        found = catalogue.find(body.model, user=user_of(body))
        ignored = body.ignored_fields()
        ask = body.as_ask(found.adapter)
        include_usage = bool(body.stream and body.stream_options and body.stream_options.include_usage)
        reply = Reply(body.model, found.version, is_chat, ask.n, include_usage)
        ask = replace(ask, id=reply.id)
        headers = {"x-ray-ft-model": quote(found.adapter or found.id, safe=":/@")}
        headers |= {"x-ray-ft-ignored": ", ".join(ignored)} if ignored else {}
        if body.stream:
            return await _streamed(backend.stream(ask), reply, ask, headers)
        answer = await _reached(backend.answer(ask))
        if isinstance(answer, Refusal):
            raise ApiError(answer)
        return JSONResponse(reply.whole(answer), headers=headers)

    async def checked_body(request: Request) -> None:
        await _check_body(request)

    api.get("/health")(health)
    api.get("/v1/models")(models)
    api.get("/v1/models/{name:path}")(model)
    api.post("/v1/chat/completions", dependencies=[Depends(checked_body)])(chat)
    api.post("/v1/completions", dependencies=[Depends(checked_body)])(complete)
    return api


async def _check_body(request: "Request") -> None:
    """FastAPI takes other content types for a body of another shape, which would hide the cause."""
    content_type = request.headers.get("content-type", "")
    if not content_type.split(";")[0].strip().lower().endswith("json"):
        raise ApiError(Refusal(415, f"send Content-Type: application/json, not {content_type or 'none'}"))
    if len(await request.body()) > MAX_BODY_BYTES:
        raise ApiError(Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes"))


async def _reached(call: Awaitable[T], *, http_status: int = 500) -> T:
    """The backend's answer; a backend that is gone or broken is an error in OpenAI's shape."""
    try:
        return await call
    except ApiError:
        raise
    except Exception as error:
        raise ApiError(backend_failure(error, http_status)) from error


def backend_failure(error: Exception, http_status: int = 500) -> Refusal:
    if type(error).__name__ == "BackPressureError":  # Ray Serve's; named, because this module works without Ray
        return Refusal(429, "too many requests are waiting; try again shortly", code="queue_full")
    logger.error("the model's replica failed", exc_info=error)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return Refusal(http_status, f"the model cannot answer: {reason}", code="engine_error")


async def _streamed(
    pieces: AsyncGenerator[list[Piece] | Refusal, None], reply: Reply, ask: Ask, headers: dict[str, str]
) -> "Response":
    """The response of a stream; what can be refused is refused before it starts, with its own status code."""
    from fastapi.responses import StreamingResponse

    try:
        first = await _reached(anext(pieces))
    except BaseException:
        await pieces.aclose()
        raise
    if isinstance(first, Refusal):
        await pieces.aclose()
        raise ApiError(first)
    num_choices = ask.n * max(len(ask.prompts), 1)
    return StreamingResponse(
        _events(pieces, reply, num_choices), media_type="text/event-stream", headers=STREAM_HEADERS | headers
    )


async def _events(
    pieces: AsyncGenerator[list[Piece] | Refusal, None], reply: Reply, num_choices: int
) -> AsyncIterator[str]:
    """Server-sent events; whatever is known at one moment leaves as one message."""
    async with aclosing(pieces):
        opening = "".join(map(event, reply.opening(num_choices)))
        if opening:
            yield opening
        try:
            async for batch in pieces:
                if isinstance(batch, Refusal):
                    yield error_event(batch)
                    return
                text = "".join(event(chunk) for piece in batch for chunk in reply.chunks(piece))
                if text:
                    yield text
        except asyncio.CancelledError:
            raise
        except Exception as error:
            yield error_event(backend_failure(error))
            return
        yield (event(reply.usage_chunk()) if reply.include_usage else "") + DONE


def _answer_errors_as_json(api: "FastAPI") -> None:
    """Every error, whoever raised it, leaves in OpenAI's shape."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def respond(refusal: Refusal) -> JSONResponse:
        headers = {"retry-after": "1"} if refusal.status in (429, 503) else {}
        headers |= {"x-should-retry": "false"} if refusal.code == "adapter_not_ready" else {}
        return JSONResponse(refusal.body(), status_code=refusal.status, headers=headers)

    async def on_api_error(request: Any, error: Any) -> JSONResponse:
        return respond(error.refusal)

    async def on_validation_error(request: Any, error: Any) -> JSONResponse:
        try:
            await _check_body(request)
        except ApiError as other:
            return respond(other.refusal)
        return respond(validation_refusal(error.errors()))

    async def on_http_error(request: Any, error: Any) -> JSONResponse:
        where = f"{request.method} {request.url.path}"
        message = {404: f"no such route: {where}", 405: f"method not allowed: {where}"}.get(error.status_code)
        return respond(Refusal(error.status_code, message or str(error.detail)))

    async def on_bug(request: Any, error: Any) -> JSONResponse:
        return respond(Refusal(500, "internal error; the server's log has the cause", code="internal_error"))

    api.add_exception_handler(ApiError, on_api_error)
    api.add_exception_handler(RequestValidationError, on_validation_error)
    api.add_exception_handler(HTTPException, on_http_error)
    api.add_exception_handler(Exception, on_bug)


def validation_refusal(errors: list[dict[str, Any]]) -> Refusal:
    """The first of pydantic's complaints, with the field's path as OpenAI writes it: `messages[0].role`."""
    error = errors[0]
    if error["type"] == "json_invalid":
        return invalid(f"the body is not valid JSON: {error.get('ctx', {}).get('error', 'syntax error')}").refusal
    path = ""
    for part in error["loc"][1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and part not in ("str", "int", "list"):  # the rest names branches of a union
            path += f".{part}" if path else part
    message = error["msg"][0].lower() + error["msg"][1:]
    return invalid(f"{path}: {message}" if path else f"the body: {message}", param=path or None).refusal
