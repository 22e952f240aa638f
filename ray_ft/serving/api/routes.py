"""The routes of the OpenAI-style API over any backend that turns asks into pieces of text."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ray_ft.serving.access.record import visible
from ray_ft.serving.adapters import Models
from ray_ft.serving.api.bodies import ChatBody, CompletionBody, Reply, json_bytes, model_row, provenance
from ray_ft.serving.api.errors import answer_errors_as_json, reaching
from ray_ft.serving.api.retrieval import Retrieval
from ray_ft.serving.api.streams import streamed, while_heard
from ray_ft.serving.api.tokens import DetokenizeBody, TokenizeBody, detokenize, tokenize
from ray_ft.serving.exchange import Backend
from ray_ft.serving.refusals import ApiError, Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

MAX_NAMED = 20
"""Most ignored fields that a header names."""


def create_api(
    catalogue: Models,
    backend: Backend,
    *,
    engine: Mapping[str, Any] | None = None,
    retrieval: Retrieval | None = None,
    is_strict: bool = False,
) -> "FastAPI":
    """The ASGI application. `engine` is what replies say of what answers, beside the model's version.

    `is_strict`: fields that are not known are refused, instead of named in a header.
    """
    from fastapi import APIRouter, FastAPI, Request, Response

    from ray_ft.serving.api import openapi
    from ray_ft.serving.api.reading import BodyRoute
    from ray_ft.serving.api.request_ids import RequestIds

    api = FastAPI(title="ray_ft", description=openapi.DESCRIPTION, version=catalogue.base.version)
    passages = retrieval or Retrieval(backend)
    answer_errors_as_json(api)
    api.add_middleware(RequestIds)
    routes = APIRouter(route_class=BodyRoute, responses=openapi.ERRORS)

    async def health() -> Response:
        with reaching(http_status=503):
            status = await backend.status()
        return _json({"status": "ok", "models": list(visible(catalogue).ids), "num_open": status.num_open})

    async def models() -> Response:
        max_seq_len = await context()
        rows = [model_row(m, catalogue, max_seq_len=max_seq_len) for m in visible(catalogue).models]
        return _json({"object": "list", "data": rows} | passages.about())

    async def model(name: str) -> Response:
        found = visible(catalogue).find(name)
        return _json(model_row(found, catalogue, max_seq_len=await context()))

    async def context() -> int:
        with reaching():
            return (await backend.status()).max_seq_len

    async def chat(body: ChatBody, request: Request) -> Response:
        return await respond(body, request, is_chat=True)

    async def complete(body: CompletionBody, request: Request) -> Response:
        return await respond(body, request, is_chat=False)

    async def tokens_of(body: TokenizeBody) -> Response:
        return _json(await tokenize(body, visible(catalogue), backend, is_strict=is_strict))

    async def text_of(body: DetokenizeBody) -> Response:
        return _json(await detokenize(body, visible(catalogue), backend, is_strict=is_strict))

    async def respond(body: ChatBody | CompletionBody, request: Request, *, is_chat: bool) -> Response:
        found = visible(catalogue).find(body.model, user=body.end_user())
        headers = {"x-ray-ft-model-version": found.version} | _ignored_header(body.ignored_fields(is_strict=is_strict))
        ask, told = body.as_ask(found.adapter), provenance(found, catalogue, engine or {})
        if isinstance(body, ChatBody) and body.retrieval:
            grounded = await passages.ground(ask, body.retrieval)
            ask, told = replace(ask, messages=grounded.messages), told | grounded.provenance
        reply = Reply(
            ask.id,
            body.model,
            found.version,
            is_chat,
            ask.n,
            include_usage=bool(body.stream and body.stream_options and body.stream_options.include_usage),
            provenance=told,
            has_logprobs=ask.num_logprobs is not None,
        )
        if body.stream:
            return await streamed(backend.stream(ask), reply, ask.n * max(len(ask.prompts), 1), headers)
        with reaching():
            async with while_heard(request):
                answer = await backend.answer(ask)
        if isinstance(answer, Refusal):
            raise ApiError(answer)
        return _json(reply.whole(answer), headers)

    for path, post in (  # what is asked most is looked at first
        ("/v1/chat/completions", chat),
        ("/v1/completions", complete),
        ("/tokenize", tokens_of),
        ("/detokenize", text_of),
    ):
        routes.post(path, responses=openapi.RESPONSES[path])(post)
    for path, get in (("/health", health), ("/v1/models", models), ("/v1/models/{name:path}", model)):
        routes.get(path, responses=openapi.RESPONSES[path])(get)
        routes.head(path, include_in_schema=False)(get)
    api.include_router(routes)
    return api


def _json(body: Any, headers: Mapping[str, str] | None = None) -> "Response":
    from fastapi import Response

    return Response(json_bytes(body), headers=headers, media_type="application/json")


def _ignored_header(names: list[str]) -> dict[str, str]:
    """Field names can be any text, and headers cannot: what is not plain ASCII is percent-encoded."""
    named = [quote(name[:64], safe="[]{}()<>@!$&'*+/:;=?#|^`", errors="replace") for name in names[:MAX_NAMED]]
    more = [f"and {len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return {"x-ray-ft-ignored": ", ".join(named + more)} if names else {}
