"""Passages of the run's documents, which an endpoint keeps beside what it serves and a process of its own looks up."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ray_ft import artifacts
from ray_ft.artifacts import TrainingSet
from ray_ft.config import Config
from ray_ft.errors import ConfigError
from ray_ft.retrievers import Retriever
from ray_ft.retrievers.passages import FILE, NUM_PASSAGES, read_passages
from ray_ft.rows import Chunk
from ray_ft.storage import part_of

Found = list[tuple[Chunk, float]]
"""Passages with their scores, the best first."""
Search = Callable[[str, int], Awaitable[Found]]
"""Finds at most so many passages for a question."""


@dataclass(frozen=True)
class PassageSet:
    """Passages of a run, and how they are found and shown: as in its evaluation."""

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
            prepared.path,
            config.run_name,
            evaluation.retriever,
            evaluation.num_passages or NUM_PASSAGES,
            evaluation.max_new_tokens,
        )

    def copied_to(self, folder: Path) -> "PassageSet":
        """The set in an endpoint's own folder: documents that are prepared anew change no answer.

        Raises ConfigError where there is no passage.
        """
        import pyarrow.parquet as pq

        source = part_of(self.folder, FILE)
        if not source.exists() or not pq.read_table(source, columns=["id"]).num_rows:
            raise ConfigError(f"serving.retrieval: there is no passage in {source}; prepare documents, or turn it off")
        try:
            shutil.copytree(source, folder / FILE)
        except OSError as error:
            raise ConfigError(f"serving.retrieval: cannot copy {source}: {error}") from None
        return replace(self, folder=str(folder))


class PassageIndex:
    """An endpoint's passages, indexed. Ray Serve gives it a process of its own: reading and indexing many passages
    would hold up every stream of the gateway's."""

    def __init__(self, passages: PassageSet) -> None:
        self._index = passages.retriever.index(read_passages(passages.folder))

    def search(self, question: str, num_passages: int) -> Found:
        """The best passages for a question."""
        return self._index.ranked(question, num_passages)
