"""What every retriever answers: index the passages once, then find the best ones for a question."""

from dataclasses import dataclass

from ray_ft.registry import Registry
from ray_ft.rows import Chunk


class Index:
    """Indexed passages, ready to be searched."""

    def ranked(self, question: str, num_passages: int) -> list[tuple[Chunk, float]]:
        """The best passages first, each with its score; fewer than `num_passages` when there are no more."""
        raise NotImplementedError

    def search(self, question: str, num_passages: int) -> list[Chunk]:
        """As `ranked`, without scores."""
        return [passage for passage, _ in self.ranked(question, num_passages)]


@dataclass(frozen=True)
class Retriever:
    """How passages are found for a question; used by evaluation and serving."""

    name: str = ""
    """The retriever's name in the registry."""

    def index(self, passages: list[Chunk]) -> Index:
        """Build the index; `passages` must not be empty."""
        raise NotImplementedError


RETRIEVERS: Registry[Retriever] = Registry("retriever")
