"""A passage as the grounding check reads it: sentences, their clauses, and what is affirmed and denied in them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ray_ft.recipes.grounding.statements import Word, affirmed_and_denied, clauses, read_words, split_at_marks

SENTENCE_END = re.compile(
    r"(?<=[.!?])(?:[\"')\]]*)\s+(?=[A-Z\"'`(])|\n[ \t]*\n|\n(?=\s*(?:[-*+|]|\d+[.)])\s)|(?<=[。！？])"
)
CODE_WORD = re.compile(r"(?<!`)`{1,2}([^`\n]{2,60})`{1,2}(?!`)")


@dataclass(frozen=True)
class Passage:
    """A passage, read once for all answers about it."""

    words: tuple[Word, ...]
    sentences: tuple[tuple[Word, ...], ...]  # what a semicolon divides counts as two
    clauses: tuple[tuple[tuple[Word, ...], ...], ...]  # of each whole sentence
    keys: frozenset[str]
    local: frozenset[str]  # details, and words that stand in one sentence only
    affirmed: frozenset[str]  # words that stand somewhere without a negation
    denied: frozenset[str]  # words that a negation reaches somewhere
    identifiers: frozenset[str]  # words between backticks
    plain: str

    def places(self, key: str) -> list[tuple[int, tuple[Word, ...]]]:
        """Number of the sentence, and the clause, of every clause that holds a word."""
        return [(n, c) for n, s in enumerate(self.clauses) for c in s if any(w.key == key for w in c)]


@lru_cache(maxsize=16)
def read_passage(text: str) -> Passage:
    """Read a passage; the last few stay at hand, since several answers come from one."""
    identifiers = frozenset(s.lower() for s in CODE_WORD.findall(text) if " " not in s)
    whole = [read_words(s, identifiers=identifiers) for s in SENTENCE_END.split(text) if s and s.strip()]
    sentences = [part for s in whole for part in split_at_marks(s, ";；")]
    words = [w for sentence in whole for w in sentence]
    told = [affirmed_and_denied(s) for s in whole]
    spread = Counter(key for s in sentences for key in {w.key for w in s})
    details = {w.key for w in words if w.is_detail or w.kind == "relation"}
    return Passage(
        words=tuple(words),
        sentences=tuple(tuple(s) for s in sentences),
        clauses=tuple(tuple(tuple(c) for c in clauses(s)) for s in whole),
        keys=frozenset(w.key for w in words if w.kind != "mark"),
        local=frozenset(k for k, n in spread.items() if n == 1 or k in details),
        affirmed=frozenset[str]().union(*(affirmed for affirmed, _ in told)),
        denied=frozenset[str]().union(*(denied for _, denied in told)),
        identifiers=identifiers,
        plain=plain(text),
    )


def read_sentences(text: str, passage: Passage) -> list[list[Word]]:
    """Sentences of a text about a passage, marks inside them kept."""
    pieces = [read_words(s, identifiers=passage.identifiers) for s in SENTENCE_END.split(text) if s]
    return [sentence for piece in pieces for sentence in split_at_marks(piece, ".!?;。")]


def best_sentence(statement: Sequence[Word], passage: Passage) -> tuple[Word, ...]:
    """The sentence that holds most of a statement's words."""
    wanted = {w.key for w in statement if w.is_content}
    return max(passage.sentences, key=lambda s: len(wanted & {w.key for w in s}), default=())


def plain(text: str) -> str:
    """Lower-case letters and digits with single spaces between words."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))
