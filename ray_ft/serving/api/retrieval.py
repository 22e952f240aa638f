"""Answers with retrieved passages: those that the run prepared, found and shown to the model as evaluation does it."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ray_ft import artifacts
from ray_ft.artifacts import TrainingSet
from ray_ft.config import Config
from ray_ft.errors import ConfigError
from ray_ft.retrievers import Index, Retriever
from ray_ft.retrievers.passages import FILE, passage_text, read_passages, user_messages
from ray_ft.rows import Chunk
from ray_ft.serving.access.record import current_key
from ray_ft.serving.api.bodies.messages import Passages
from ray_ft.serving.api.errors import reaching
from ray_ft.serving.exchange import Ask, Backend
from ray_ft.serving.refusals import ApiError, Refusal, invalid

MAX_QUESTION_CHARS = 8192
"""Every word of a question is looked up; a longer text is none."""


@dataclass(frozen=True)
class PassageSet:
    """Passages of a run, and how they are found and shown."""

    folder: str
    run: str
    retriever: Retriever
    num_passages: int  # where a request names no number
    num_answer_tokens: int  # room that is kept for an answer to a request that names no limit

    @classmethod
    def of_run(cls, config: Config, *, config_path: str = "CONFIG") -> "PassageSet | None":
        """None where `serving.retrieval` is off. Raises MissingArtifactError where nothing has been prepared."""
        if not config.serving.retrieval:
            return None
        prepared = artifacts.load(TrainingSet, config.run_path, config_path=config_path)
        evaluation = config.evaluation
        return cls(
            prepared.path, config.run_name, evaluation.retriever, evaluation.num_passages, evaluation.max_new_tokens
        )

    def copied_to(self, folder: Path) -> "PassageSet":
        """The set in an endpoint's own folder: documents that are prepared anew change no answer.

        Raises ConfigError where there is no passage.
        """
        import pyarrow.parquet as pq

        source = Path(self.folder) / FILE
        if not source.exists() or not pq.read_table(source, columns=["id"]).num_rows:
            raise ConfigError(f"serving.retrieval: there is no passage in {source}; prepare documents, or turn it off")
        try:
            shutil.copytree(source, folder / FILE)
        except OSError as error:
            raise ConfigError(f"serving.retrieval: cannot copy {source}: {error}") from None
        return replace(self, folder=str(folder))


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
    """The passages of one endpoint, if it has any.

    They are read and indexed when they are first asked for, and searched in a thread of their own: the event loop goes
    on with everybody else's streams.
    """

    def __init__(self, passages: PassageSet | None, backend: Backend) -> None:
        self._passages = passages
        self._backend = backend
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passages")

    def about(self) -> dict[str, Any]:
        """What GET /v1/models tells of it to this request's key."""
        passages = self._readable()
        return {} if passages is None else {"ray_ft": {"retrieval": {"k": passages.num_passages}}}

    async def ground(self, ask: Ask, wanted: Passages | bool) -> Grounded:
        """Put the best passages before the last question, as many as leave room for an answer.

        Raises ApiError 400 where there are no passages, or no question.
        """
        passages = self._readable()
        if passages is None:
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
        ranked = await asyncio.get_running_loop().run_in_executor(self._thread, self._search, question, k)
        with reaching():
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

    def _search(self, question: str, num_passages: int) -> list[tuple[Chunk, float]]:
        return self._index.ranked(question, num_passages)

    @cached_property
    def _index(self) -> Index:
        assert self._passages is not None
        return self._passages.retriever.index(read_passages(self._passages.folder))


def _source(passage: Chunk, score: float) -> dict[str, Any]:
    return {
        "id": passage.id,
        "document": passage.document_id.partition(":")[2] or passage.document_id,  # the path, without the digest
        "heading": " > ".join(passage.heading_path),
        "text": passage.text,
        "score": round(score, 4),
    }
