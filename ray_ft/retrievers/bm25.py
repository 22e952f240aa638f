"""BM25 retrieval with bm25s: sparse, fast, no model."""

from dataclasses import dataclass

from ray_ft.retrievers.base import RETRIEVERS, Index, Retriever
from ray_ft.rows import Chunk


@RETRIEVERS.register("bm25")
@dataclass(frozen=True)
class BM25(Retriever):
    """Okapi BM25 over words of the passage and its heading path."""

    name: str = "bm25"
    k1: float = 1.5
    """Saturation of a term's frequency."""
    b: float = 0.75
    """How much long passages are discounted."""

    def index(self, passages: list[Chunk]) -> Index:
        raise NotImplementedError
