"""Answers with retrieved passages: those that the run prepared, found and shown to the model as evaluation does it."""

from dataclasses import dataclass, replace
from typing import Any

from ray_ft.retrievers.passages import user_messages
from ray_ft.rows import Chunk, passage_text
from ray_ft.serving.access.record import current_key
from ray_ft.serving.api.bodies.messages import Passages
from ray_ft.serving.api.errors import reaching
from ray_ft.serving.exchange import Ask, Backend
from ray_ft.serving.passages import PassageSet, Search
from ray_ft.serving.refusals import ApiError, Refusal, invalid

MAX_QUESTION_CHARS = 8192
"""Every word of a question is looked up; a longer text is none."""


@dataclass(frozen=True)
class Grounded:
    """A conversation whose last message has passages before its question."""

    messages: tuple[dict[str, Any], ...]
    sources: list[dict[str, Any]]

    @property
    def provenance(self) -> dict[str, Any]:
        """What a reply says of it beside who answered."""
        return {"sources": self.sources}


class Retrieval:
    """The passages of one endpoint, if it has any; `search` finds them without holding up the event loop."""

    def __init__(self, backend: Backend, passages: PassageSet | None = None, search: Search | None = None) -> None:
        self._backend = backend
        self._passages = passages
        self._search = search

    def about(self) -> dict[str, Any]:
        """What GET /v1/models tells of it to this request's key."""
        passages = self._readable()
        return {} if passages is None else {"ray_ft": {"retrieval": {"k": passages.num_passages}}}

    async def ground(self, ask: Ask, wanted: Passages | bool) -> Grounded:
        """Put the best passages before the last question, as many as leave room for an answer.

        Raises ApiError 400 where there are no passages, or no question.
        """
        passages = self._readable()
        if passages is None or self._search is None:
            message = "retrieval: this endpoint has no passages to answer with; its configuration turns them on with "
            raise invalid(f"{message}serving.retrieval: true", param="retrieval", code="no_passages")
        messages = ask.messages or ()
        question = messages[-1]["content"] if messages and messages[-1]["role"] == "user" else None
        if not question:
            raise invalid("retrieval: the last message must be a user's question", param="retrieval")
        if len(question) > MAX_QUESTION_CHARS:
            told = f"the question has {len(question)} characters; at most {MAX_QUESTION_CHARS} are looked up"
            raise invalid(f"retrieval: {told}", param="retrieval")
        k = (wanted.k if isinstance(wanted, Passages) else None) or passages.num_passages
        with reaching():
            ranked = await self._search(question, k)
            max_seq_len = (await self._backend.status()).max_seq_len
        room = max_seq_len - (ask.max_new_tokens or passages.num_answer_tokens)
        for text, num_passages in user_messages(question, [passage_text(passage) for passage, _ in ranked]):
            grounded = (*messages[:-1], {**messages[-1], "content": text})
            if not num_passages or await self._fits(replace(ask, messages=grounded), room):
                break
        return Grounded(grounded, [_source(passage, score) for passage, score in ranked[:num_passages]])

    def _readable(self) -> PassageSet | None:
        """The passages, for keys that may ask the run's adapter: others could read its documents through them."""
        return self._passages if self._passages is not None and current_key().allows(self._passages.run) else None

    async def _fits(self, ask: Ask, room: int) -> bool:
        with reaching():
            tokens = await self._backend.tokenize(ask, add_special_tokens=True, with_texts=False)
        if isinstance(tokens, Refusal):
            if tokens.code == "context_length_exceeded":
                return False
            raise ApiError(tokens)
        return len(tokens) <= room


def _source(passage: Chunk, score: float) -> dict[str, Any]:
    return {
        "id": passage.id,
        "document": passage.document_id.partition(":")[2] or passage.document_id,  # the path, without the digest
        "heading": " > ".join(passage.heading_path),
        "text": passage.text,
        "score": round(score, 4),
    }
