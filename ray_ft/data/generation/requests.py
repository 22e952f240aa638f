"""Asks an engine for everything that recipes want to know, in large batches, before any example is written.

The recipes run over all documents with an engine that has answered already and notes what it has not; a pool of actors
then answers what is missing. Recipes that ask again about an answer, as a judge does, take another round. In the end
all is known, and the examples are made as if the engine had answered at once.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ray_ft import progress
from ray_ft.data.generation.response_cache import ResponseCache, as_row, from_rows
from ray_ft.data.run.journal import Journal
from ray_ft.data.run.segments import open_journal
from ray_ft.data.run.tasks import with_work
from ray_ft.engines import Engine, Writer, WriteRequest
from ray_ft.errors import EngineStoppedError, GenerationError, RayFTError
from ray_ft.quiet import quiet_ray_data, restarts_of_actors

log = logging.getLogger("ray_ft")

MAX_ROUNDS = 5  # questions, verdicts, and what recipes of others may want


Requests = Callable[[dict[str, Any], ResponseCache], Iterable[WriteRequest]]
"""What a row wants to ask and is not answered yet."""


def ask_engine(
    rows: list[dict[str, Any]],
    requests_of: Requests,
    *,
    answers: ResponseCache,
    engine: Engine,
    model_path: str,
    chat_template: str | None,
) -> ResponseCache:
    """Answer all that the rows ask for, written to a file or not; returns where the answers lie. Ray must be up.

    Raises GenerationError when the engine cannot go on; what it answered until then is kept.
    """
    refused: Counter[str] = Counter()
    for number in range(MAX_ROUNDS):
        at = replace(answers, round=number)
        asked = {"requests_of": requests_of, "at": at}
        loaded = {"at": at, "engine": engine, "model_path": model_path, "chat_template": chat_template}
        try:
            with quiet_ray_data():
                num_answered = _round(rows, asked, loaded, engine, refused)
        except EngineStoppedError as error:
            raise GenerationError(f"prepare stopped: {error}") from None
        if not num_answered:
            break
    if refused:
        reason, count = refused.most_common(1)[0]
        log.warning("the engine refused %d requests, %d of them: %s", refused.total(), count, reason)
    return replace(answers, round=MAX_ROUNDS)


def _round(
    rows: list[dict[str, Any]], asked: dict[str, Any], loaded: dict[str, Any], engine: Engine, refused: Counter[str]
) -> int:
    """One pass over the rows; returns the number of requests that were answered."""
    import ray

    num_gpus = int(ray.cluster_resources().get("GPU", 0)) if engine.needs_weights else 0
    total = 0
    with progress.task("generate", "answers") as task:
        answers = (
            ray.data.from_items(rows, override_num_blocks=len(rows))
            .flat_map(_wanted, fn_kwargs=asked)
            .map_batches(
                Answerer,
                fn_constructor_kwargs=loaded,
                batch_size=engine.write_batch_size(),
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(num_gpus // engine.num_gpus, 1)),
                num_gpus=engine.num_gpus if num_gpus else None,
                **restarts_of_actors(),
            )
        )
        for row in answers.iter_rows():
            if row["stopped"]:
                raise GenerationError(f"prepare stopped: {row['stopped']}")
            total += int(row["num_answers"])
            refused.update([row["refused"]] if row["refused"] else [])
            task.count_to(total)
    if total:
        log.info("the engine answered %s requests in %.0f s", f"{total:,}", task.seconds)
    return total


def _wanted(row: dict[str, Any], *, requests_of: Requests, at: ResponseCache) -> Iterator[dict[str, str]]:
    """The requests of a row, on their way to those who answer."""
    yield from map(as_row, requests_of(with_work(row), at))


class Answerer:
    """Answers batches of requests, with an engine that is loaded when the first one comes."""

    def __init__(self, at: ResponseCache, engine: Engine, *, model_path: str, chat_template: str | None = None) -> None:
        self.at, self.engine = at, engine
        self.model_path, self.chat_template = model_path, chat_template
        self.writer: Writer | None = None
        self.journal: Journal | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """A row for each answer; `stopped` says why the engine cannot go on."""
        rows: list[tuple[int, str, str]] = []
        try:
            for error in self._answer([str(r) for r in batch["request"]]):
                rows.append((1, error, ""))
        except (RayFTError, OSError) as error:
            rows.append((0, "", str(error)))
        columns = ("num_answers", "refused", "stopped")
        return {name: [row[i] for row in rows] for i, name in enumerate(columns)}

    def _answer(self, rows: list[str]) -> Iterator[str]:
        """The error of each answer, "" for most, once it is kept."""
        requests = from_rows(rows)
        self.writer = self.writer or self.engine.load_writer(self.model_path, chat_template=self.chat_template)
        self.journal = self.journal or open_journal(self.at.folder, uuid.uuid4().hex)
        for place, written in self.writer.write(requests):
            self.at.keep(self.journal, requests[place], written)
            yield written.error
        self.journal.flush()
