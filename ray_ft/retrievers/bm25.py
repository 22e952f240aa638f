"""BM25 retrieval with bm25s: sparse, fast, and without a model."""

import logging
import re
from dataclasses import dataclass
from typing import Any

from ray_ft.quiet import import_bm25s
from ray_ft.retrievers.base import RETRIEVERS, Index, Retriever
from ray_ft.rows import Chunk
from ray_ft.words import pieces

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_HANGUL = re.compile(r"[\uac00-\ud7a3]+\Z")


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
        """Index the text and the heading path, so that a section's title finds its passages."""
        return BM25Index(passages, k1=self.k1, b=self.b)


class BM25Index(Index):
    """Passages under BM25 in Lucene's variant, whose scores are positive for every shared word.

    score(q, d) = sum over words t of q: idf_t * f / (f + k1 (1 - b + b |d| / mean |d|)), where
    idf_t = ln(1 + (N - n_t + 0.5) / (n_t + 0.5)), f is the count of t in d, n_t the number of passages that hold t and
    N that of all passages (Robertson and Zaragoza 2009; Lucene).
    """

    def __init__(self, passages: list[Chunk], *, k1: float, b: float) -> None:
        bm25s = import_bm25s()
        # The library sets its logger to DEBUG when it is imported, and would write through our terminal handler.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        assert passages, "an index needs at least one passage"
        self._passages = passages
        words = [split_words(" ".join((*p.heading_path, p.text))) for p in passages]
        self._scorer: Any = None
        if any(words):  # bm25s cannot index a corpus without a single word
            # The numpy backends are named, so that an installed numba or scipy changes no score.
            self._scorer = bm25s.BM25(k1=k1, b=b, method="lucene", backend="numpy", csc_backend="numpy")
            self._scorer.index(words, show_progress=False)

    def ranked(self, question: str, num_passages: int) -> list[tuple[Chunk, float]]:
        """Passages that share a word with the question, best first; equal scores keep the passages' own order."""
        import numpy as np

        if self._scorer is None:
            return []
        words = [word for word in split_words(question) if word in self._scorer.vocab_dict]
        if not words:
            return []
        scores = self._scorer.get_scores(words)
        best = np.argsort(-scores, kind="stable")[:num_passages]
        return [(self._passages[i], float(scores[i])) for i in best if scores[i] > 0]


def split_words(text: str) -> list[str]:
    """Case-folded words without English stop words; identifiers count whole and by part.

    `max_seq_len` gives max_seq_len, max, seq and len, so that a question in plain words finds code. Where a script has
    no spaces, or its words have endings that change (Hangul), each two characters in a row count as well.
    """
    stop_words = import_bm25s().stopwords.STOPWORDS_EN
    words: list[str] = []
    before = ""
    for piece in pieces(text):
        parts = _parts(piece.text)
        if len(parts) > 1:
            words += [piece.word, *parts]
        elif _HANGUL.match(piece.word):
            words += [piece.word, *(piece.word[i : i + 2] for i in range(len(piece.word) - 1) if len(piece.word) > 2)]
        else:
            words += [before + piece.word, piece.word] if piece.joins else [piece.word]
        before = piece.word
    return [word for word in words if word not in stop_words]


def _parts(word: str) -> list[str]:
    """The words that an identifier is made of."""
    parts = [p for part in word.split("_") for p in (_CAMEL.findall(part) if part.isascii() else [part])]
    return [part.casefold() for part in parts] if word.replace("_", "").isalnum() else [word]
