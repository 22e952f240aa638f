"""What the OpenAPI document says of replies; bodies of requests describe themselves."""

from typing import Any

from pydantic import BaseModel

DESCRIPTION = """A base model and its adapters behind an OpenAI-style API.

`model` picks who answers. Errors have OpenAI's shape and name the field at fault in `param`. Fields that nobody knows
are named in the response header `x-ray-ft-ignored`."""


class Error(BaseModel):
    """Why a request was not answered; `param` names the field at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every reply that is none of success."""

    error: Error


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "A request that the client has to change, or 429: to send later."},
    "5XX": {"model": ErrorBody, "description": "A failure of the server's."},
}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _success(description: str, schema: dict[str, Any], **content: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"application/json": {"schema": schema}} | content}}


INTEGER, STRING = {"type": "integer"}, {"type": "string"}
NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
LOGPROBS = {"type": ["object", "null"]}
FINISH = {"enum": ["stop", "length", "tool_calls"]}

MODEL = _object(
    "id", "object", "created", "owned_by", "root", "parent", "max_model_len",
    id=STRING, object={"const": "model"}, created=INTEGER, owned_by=STRING, root=STRING, parent=NULLABLE,
    max_model_len=INTEGER, ray_ft=_object("kind", "version", kind={"enum": ["base", "adapter"]}, version=STRING),
)  # fmt: skip
USAGE = _object(
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details",
    prompt_tokens=INTEGER, completion_tokens=INTEGER, total_tokens=INTEGER,
    prompt_tokens_details=_object("cached_tokens", cached_tokens=INTEGER),
)  # fmt: skip
CALL = _object(
    "id", "type", "function",
    id=STRING, type={"const": "function"}, function=_object("name", "arguments", name=STRING, arguments=STRING),
)  # fmt: skip
MESSAGE = _object(
    "role",
    "content",
    role={"const": "assistant"},
    content=NULLABLE,
    refusal={"type": "null"},
    tool_calls=_list_of(CALL),
)
SOURCE = _object(
    "id", "document", "heading", "text", "score",
    id=STRING, document=STRING, heading=STRING, text=STRING, score={"type": "number"},
)  # fmt: skip
PROVENANCE = _object(
    "adapter", "version", "base",
    adapter=NULLABLE, version=STRING, base=STRING, base_version=STRING, sources=_list_of(SOURCE),
)  # fmt: skip


def _answer(kind: str, **choice: Any) -> dict[str, Any]:
    choices = _object(
        *choice, "index", "finish_reason", index=INTEGER, finish_reason=FINISH, logprobs=LOGPROBS, **choice
    )
    return _object(
        "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "ray_ft",
        id=STRING, object={"const": kind}, created=INTEGER, model=STRING, choices=_list_of(choices), usage=USAGE,
        system_fingerprint=STRING, ray_ft=PROVENANCE,
    )  # fmt: skip


EVENTS = {"text/event-stream": {"schema": {"type": "string", "description": "chunks, then `data: [DONE]`"}}}

RESPONSES = {
    "/health": _success(
        "The model can answer.",
        _object("status", "models", "num_open", status={"const": "ok"}, models=_list_of(STRING), num_open=INTEGER),
    ),
    "/v1/models": _success(
        "All models, the base first.", _object("object", "data", object={"const": "list"}, data=_list_of(MODEL))
    ),
    "/v1/models/{name:path}": _success("One model.", MODEL),
    "/v1/chat/completions": _success("The answer.", _answer("chat.completion", message=MESSAGE), **EVENTS),
    "/v1/completions": _success("The answer.", _answer("text_completion", text=STRING), **EVENTS),
    "/tokenize": _success(
        "The ids.",
        _object(
            "count", "max_model_len", "tokens",
            count=INTEGER, max_model_len=INTEGER, tokens=_list_of(INTEGER),
            token_strs={"type": ["array", "null"], "items": STRING},
        ),
    ),
    "/detokenize": _success("The text.", _object("prompt", prompt=STRING)),
}  # fmt: skip
