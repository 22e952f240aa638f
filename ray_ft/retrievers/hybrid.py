"""BM25 and dense retrieval together, by reciprocal rank fusion."""

from collections.abc import Sequence
from dataclasses import dataclass

from ray_ft.retrievers.base import RETRIEVERS, Index
from ray_ft.retrievers.bm25 import BM25
from ray_ft.retrievers.dense import Dense
from ray_ft.rows import Chunk


@RETRIEVERS.register("hybrid")
@dataclass(frozen=True)
class Hybrid(Dense, BM25):
    """The best of BM25 and of embeddings: words that must match, and words that mean the same."""

    name: str = "hybrid"
    rank_constant: int = 60
    """Of reciprocal rank fusion: the higher, the less the first places count."""
    depth: int = 100
    """Passages taken from each ranking."""

    def index(self, passages: list[Chunk]) -> Index:
        """Index the passages both ways."""
        indexes = (BM25.index(self, passages), Dense.index(self, passages))
        return FusedIndex(indexes, rank_constant=self.rank_constant, depth=self.depth)


class FusedIndex(Index):
    """Rankings added up: a passage scores 1 / (constant + rank) in each (Cormack, Clarke and Büttcher 2009)."""

    def __init__(self, indexes: Sequence[Index], *, rank_constant: int, depth: int) -> None:
        self._indexes = indexes
        self._constant = rank_constant
        self._depth = depth

    def ranked(self, question: str, num_passages: int) -> list[tuple[Chunk, float]]:
        """The best passages of all rankings; equal scores keep the order of the first ranking."""
        scores: dict[str, float] = {}
        passages: dict[str, Chunk] = {}
        for index in self._indexes:
            for rank, passage in enumerate(index.search(question, max(self._depth, num_passages)), start=1):
                scores[passage.id] = scores.get(passage.id, 0.0) + 1 / (self._constant + rank)
                passages.setdefault(passage.id, passage)
        best = sorted(scores, key=lambda name: -scores[name])[:num_passages]
        return [(passages[name], scores[name]) for name in best]
