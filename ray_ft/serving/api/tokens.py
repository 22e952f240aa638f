"""/tokenize and /detokenize in vLLM's shape: the ids that this server's models get for a text or a conversation."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

from ray_ft.serving.adapters import Models
from ray_ft.serving.api.bodies import Conversation, OpenBody
from ray_ft.serving.api.bodies.requests import MAX_IDS
from ray_ft.serving.api.errors import reaching
from ray_ft.serving.exchange import Ask, Backend
from ray_ft.serving.refusals import ApiError, Refusal, invalid

ANYTHING = Ask(
    adapter=None, messages=None, prompts=(), n=1, max_new_tokens=None, temperature=0, top_p=1, stop=(), seed=0
)  # fmt: skip
"""An ask of which the prompt alone matters."""

ModelName = Annotated[StrictStr, Field(max_length=512)]


class TokenizeText(OpenBody):
    """A finished prompt, as /v1/completions takes it."""

    model: ModelName | None = None
    prompt: StrictStr
    add_special_tokens: StrictBool = True
    return_token_strs: StrictBool = False

    def as_ask(self) -> Ask:
        """The ask that has this prompt."""
        return replace(ANYTHING, prompts=(self.prompt,))


class TokenizeChat(Conversation):
    """A conversation, as /v1/chat/completions takes it."""

    model: ModelName | None = None
    return_token_strs: StrictBool = False

    def as_ask(self) -> Ask:
        """The ask that has this conversation."""
        return replace(ANYTHING, **self.conversation())


def _kind(body: Any) -> str:
    return "chat" if isinstance(body, TokenizeChat) or (isinstance(body, dict) and "messages" in body) else "text"


TokenizeBody = Annotated[
    Annotated[TokenizeText, Tag("text")] | Annotated[TokenizeChat, Tag("chat")], Discriminator(_kind)
]


class DetokenizeBody(OpenBody):
    """Ids to make text of."""

    model: ModelName | None = None
    tokens: Annotated[list[StrictInt], Field(max_length=MAX_IDS)]


async def tokenize(
    body: TokenizeText | TokenizeChat, catalogue: Models, backend: Backend, *, is_strict: bool = False
) -> dict[str, Any]:
    """The response of /tokenize. Raises ApiError."""
    _check_model(body.model, catalogue)
    body.ignored_fields(is_strict=is_strict)
    with_texts = body.return_token_strs
    add = body.add_special_tokens if isinstance(body, TokenizeText) else True
    with reaching():
        tokens = await backend.tokenize(body.as_ask(), add_special_tokens=add, with_texts=with_texts)
        status = await backend.status()
    if isinstance(tokens, Refusal):
        raise ApiError(tokens)
    return {
        "count": len(tokens),
        "max_model_len": status.max_seq_len,
        "tokens": [i for i, _ in tokens],
        "token_strs": [text for _, text in tokens] if with_texts else None,
    }


async def detokenize(
    body: DetokenizeBody, catalogue: Models, backend: Backend, *, is_strict: bool = False
) -> dict[str, Any]:
    """The response of /detokenize. Raises ApiError."""
    _check_model(body.model, catalogue)
    body.ignored_fields(is_strict=is_strict)
    if not all(0 <= i < 2**31 for i in body.tokens):
        raise invalid("tokens: ids are 0 or more, and below 2**31", param="tokens")
    with reaching():
        text = await backend.detokenize(body.tokens)
    if isinstance(text, Refusal):
        raise ApiError(text)
    return {"prompt": text}


def _check_model(name: str | None, catalogue: Models) -> None:
    """All models of a server have the base's tokenizer; one that is named has to exist."""
    if name is not None:
        catalogue.find(name)
