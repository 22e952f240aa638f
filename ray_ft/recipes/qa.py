"""QA recipe: a question asks, the document answers; an engine writes both, or the document's structure does."""

from collections.abc import Sequence
from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import Span, make_chunks, sections
from ray_ft.recipes.chunking.functions import definition_spans
from ray_ft.recipes.questions.answers import as_answer, is_answer
from ray_ft.recipes.questions.coverage import allot
from ray_ft.recipes.questions.from_structure import (
    QuestionAnswer,
    evaluation_question,
    question_kind,
    reference_answer,
    training_question,
)
from ray_ft.recipes.questions.in_context import in_context
from ray_ft.recipes.questions.verdicts import check_pairs
from ray_ft.recipes.questions.written import exam_request, pairs_form, pairs_request, read_pairs
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate
from ray_ft.words import num_words

MIN_WORDS = 8  # shorter passages answer no question


@RECIPES.register("qa")
@dataclass(frozen=True)
class QA(Recipe):
    """Question -> answer, for documents and for code that has docstrings.

    With an engine the answers are checked against the passage and dropped when they are not found there. Without one,
    headings and definitions become questions, and the examples are marked as extractive.
    """

    name: str = "qa"
    questions_per_chunk: int = 2
    """Questions that an engine writes for a passage of max_chunk_tokens; shorter ones get fewer, at least one."""
    max_questions: int | None = None
    """Questions of one document at most, spread over all of its text; null sets no limit."""
    phrasings: int = 1
    """Wordings of each question, each an example of its own with the same answer."""
    judge: bool = False
    """Ask the engine whether the passage supports each answer that passed the checks; drop those that it denies."""
    context: float = 0.0
    """Share of the examples that are also shown with passages, the right one among others of its document."""
    context_passages: int = 2
    """Passages that such an example shows, at most; as many as evaluation.num_passages is usual."""
    context_without: float = 0.2
    """Share of those that lack the right passage, and whose answer says so (RAFT, arXiv 2403.10131)."""

    def problems(self) -> tuple[tuple[str, object, str], ...]:
        shares = ("context", "context_without")
        wrong = [(name, getattr(self, name), "in [0, 1]") for name in shares if not 0 <= getattr(self, name) <= 1]
        few = [("context_passages", self.context_passages, "at least 1")] if self.context_passages < 1 else []
        return (*wrong, *few)

    def applies_to(self, document: Document) -> bool:
        return not document.language or any(d.docstring for d in document.definitions)

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        if document.language:
            told = [d for d in document.definitions if d.docstring]
            spans = list(definition_spans(document, told, head_only=True))
        else:
            spans = [
                Span(s.body_start, s.end, s.path)
                for s in sections(document)
                if s.blocks and num_words(document.text[s.body_start : s.end]) >= MIN_WORDS
            ]
        return make_chunks(
            document, spans, recipe=self.name, max_tokens=self.max_chunk_tokens, count_tokens=count_tokens,
            overlap_tokens=self.overlap_tokens,
        )  # fmt: skip

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        if generate is None:
            made = (e for c in chunks if (e := self._extractive(c)) is not None)
            extractive = list({e.prompt: e for e in reversed(list(made))}.values())[::-1]  # of equal ones the first
            return extractive + self._in_context(extractive, chunks)
        counts = allot(
            chunks, per_chunk=self.questions_per_chunk, full_tokens=self.max_chunk_tokens, limit=self.max_questions
        )
        asked = [(c, n) for c, n in zip(chunks, counts, strict=True) if n]
        requests = [pairs_request(c, num_questions=n, num_phrasings=self.phrasings) for c, n in asked]
        texts = generate(requests, **pairs_form(self.questions_per_chunk, self.phrasings))
        pairs = [(c, p) for (c, n), text in zip(asked, texts, strict=True) for p in read_pairs(text)[:n]]
        checked = check_pairs(pairs, generate if self.judge else None)
        silent = [(c, text) for (c, _), text in zip(asked, texts, strict=True) if not read_pairs(text)]
        written = [e for one in checked for e in one.examples(self.name, num_phrasings=self.phrasings)]
        return written + self._in_context(written, chunks) + [self._silence(c, text) for c, text in silent]

    def questions(self, chunks: list[Chunk], generate: Generate | None) -> list[tuple[Chunk, QuestionAnswer]]:
        """Evaluation questions, worded differently from the training examples of the same passages."""
        if generate is None:
            first = [c for c in chunks if c.metadata.get("part", "1") == "1"]
            found = [(c, evaluation_question(c), reference_answer(c)) for c in first]
            return [(c, QuestionAnswer(q, a, question_kind(c))) for c, q, a in found if q and a]
        texts = generate([exam_request(c) for c in chunks], **pairs_form(1, 1))
        pairs = [(c, p) for c, text in zip(chunks, texts, strict=True) for p in read_pairs(text)[:1]]
        kept = [one for one in check_pairs(pairs, generate if self.judge else None) if not one.reason]
        return [(k.chunk, QuestionAnswer(k.pair.question, k.pair.answer, question_kind(k.chunk))) for k in kept]

    def _extractive(self, chunk: Chunk) -> Example | None:
        """The first part of a section or docstring answers, when it has prose; later parts begin in mid-thought."""
        question = training_question(chunk) if chunk.metadata.get("part", "1") == "1" else ""
        answer = chunk.metadata.get("docstring", "")
        if not question or not reference_answer(chunk) or not (answer or is_answer(chunk)):
            return None
        return Example(question, answer or as_answer(chunk), chunk.id, chunk.document_id, self.name, "extractive")

    def _in_context(self, examples: Sequence[Example], chunks: Sequence[Chunk]) -> list[Example]:
        return in_context(
            examples, chunks, share=self.context, num_passages=self.context_passages, without=self.context_without
        )

    def _silence(self, chunk: Chunk, text: str) -> Example:
        reason = "engine wrote no question and answer"
        return Example("", text.strip(), chunk.id, chunk.document_id, self.name, "generated", reason)
