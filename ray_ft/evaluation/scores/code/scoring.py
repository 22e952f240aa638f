"""Scores of answers that should be code: added to the others of every question whose reference is code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.scores.code.known import names_of
from ray_ft.evaluation.scores.code.reading import code_in, made_and_used, names, read_code
from ray_ft.evaluation.scores.code.similarity import edit_similarity, identifier_f1, same_code, tree_match
from ray_ft.evaluation.scores.metrics import abstention, without_thoughts
from ray_ft.fences import fenced_in, fenced_language
from ray_ft.grammars import GRAMMARS
from ray_ft.rows import Question
from ray_ft.storage import part_of

WORD = re.compile(r"[^\W\d]\w*")
IN_PROSE = re.compile(r"`[^`\n]+`|\b\w*[a-z0-9_][A-Z_]\w*\b")
"""Where prose speaks of code beside its blocks: spans, and words that are no words of a language."""


@dataclass(frozen=True)
class CodeScores:
    """All metrics of one answer's code, and the names in it that nothing explains so far."""

    scores: Mapping[str, float]
    unknown: frozenset[str]
    num_used: int


def language_of(question: Question) -> str:
    """The programming language of a question's reference, as it says or as its one fenced block does; "" for prose."""
    return (question.language or fenced_language(question.reference)) if question.answerable else ""


def score_code(answer: str, *, reference: str, language: str, prompt: str = "") -> CodeScores:
    """Parse, similarities and unknown names of an answer; one that declines or has no code is no code at all.

    Macros make C++ that a grammar cannot read: where the reference does not parse, no answer is asked to.
    """
    said = without_thoughts(answer)
    text, wanted = code_in(said), code_in(reference)
    code, right = read_code(text, language), read_code(wanted, language)
    # A shell's grammar reads any sentence, and code may speak of what is unknown: one line of prose declines.
    is_whole = code.is_whole and not (abstention(answer) and "\n" not in said)
    _, used = made_and_used(code)
    explained = names_of(language) | names(right).keys() | set(WORD.findall(prompt))
    scores = {
        **({"parses": float(is_whole)} if right.is_whole else {}),
        "edit_similarity": edit_similarity(text, wanted),
        "identifier_f1": identifier_f1(code, right),
        "tree_match": tree_match(code, right),
        "same_code": same_code(code, right),
    }
    # What does not parse has no names: words of prose would be called invented.
    has_names = is_whole or not right.is_whole
    return CodeScores(scores, frozenset(used - explained if has_names else ()), len(used) if has_names else 0)


def with_code_scores(done: Sequence[Done], questions: Sequence[Question], training_set: str | Path) -> list[Done]:
    """The outcomes, with the metrics of code where the question's reference is code; the corpus is read only then."""
    found: dict[int, CodeScores] = {}
    for place, d in enumerate(done):
        if d.kind == "question" and (language := language_of(questions[d.index])):
            reference = questions[d.index].reference
            found[place] = score_code(d.answer, reference=reference, language=language, prompt=d.prompt)
    wanted = frozenset[str]().union(*(one.unknown for one in found.values()))
    known = names_in_corpus(training_set, wanted) if wanted else set[str]()
    scored = list(done)
    for place, one in found.items():
        invented = sorted(one.unknown - known)
        share = len(invented) / one.num_used if one.num_used else 0.0
        scores = {**done[place].scores, **one.scores, "invented_symbols": share}
        scored[place] = replace(done[place], scores=scores, invented=", ".join(invented))
    return scored


def names_in_corpus(training_set: str | Path, wanted: frozenset[str]) -> set[str]:
    """Those of the wanted names that code of the corpus has, or that its prose speaks of as code.

    A document is parsed only where it holds a word that is still wanted: a comment's word is no name.
    """
    found: set[str] = set()
    for language, text in _documents(training_set):
        left = wanted - found
        if not left:
            break
        if left.isdisjoint(WORD.findall(text)):
            continue
        if language in GRAMMARS:
            found |= left & names(read_code(text, language)).keys()
        else:
            blocks = [block.body for block in fenced_in(text)]
            parts = [text] if language else [*blocks, *(part.group() for part in IN_PROSE.finditer(text))]
            found |= left.intersection(word for part in parts for word in WORD.findall(part))
    return found


def _documents(training_set: str | Path) -> Iterator[tuple[str, str]]:
    """Language and text of every document that was read."""
    import pyarrow.parquet as pq

    for file in sorted(part_of(training_set, "documents.parquet").glob("*.parquet")):
        with pq.ParquetFile(file) as table:
            if not {"language", "text"} <= set(table.schema_arrow.names):
                continue
            for batch in table.iter_batches(batch_size=256, columns=["language", "text"]):
                yield from ((row["language"], row["text"]) for row in batch.to_pylist())
