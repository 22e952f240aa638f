"""QA recipe: a question asks, the document answers; an engine writes both, or the document's structure does."""

import re
from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking import Span, make_chunks
from ray_ft.recipes.functions import find_definitions
from ray_ft.recipes.grounding import ungrounded
from ray_ft.recipes.headings import sections
from ray_ft.recipes.questions import (
    QuestionAnswer,
    evaluation_question,
    question_kind,
    reference_answer,
    training_question,
)
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate

PAIR = re.compile(
    r"^\s*Q(?:uestion)?\s*\d*\s*[:.)]\s*(.+?)\s*^\s*A(?:nswer)?\s*\d*\s*[:.)]\s*(.+?)\s*(?=^\s*Q(?:uestion)?\s*\d*\s*[:.)]|\Z)",
    re.DOTALL | re.MULTILINE,
)
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
    """Questions that an engine writes for each passage."""

    def applies_to(self, document: Document) -> bool:
        return document.language in ("", "python")

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        if document.language:
            spans = [d.span(document, head_only=True) for d in find_definitions(document) if d.docstring]
        else:
            spans = [
                Span(s.body_start, s.end, s.path)
                for s in sections(document)
                if s.blocks and len(document.text[s.body_start : s.end].split()) >= MIN_WORDS
            ]
        return make_chunks(
            document, spans, recipe=self.name, max_tokens=self.max_chunk_tokens, count_tokens=count_tokens
        )

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        if generate is None:
            return [e for c in chunks if (e := self._extractive(c)) is not None]
        asked = generate([_request(c, self.questions_per_chunk) for c in chunks])
        return [e for c, text in zip(chunks, asked, strict=True) for e in self._generated(c, text)]

    def questions(self, chunks: list[Chunk], generate: Generate | None) -> list[tuple[Chunk, QuestionAnswer]]:
        """Evaluation questions, worded differently from the training examples of the same passages."""
        pairs: list[tuple[Chunk, QuestionAnswer]] = []
        if generate is None:
            for chunk in chunks:
                if chunk.metadata.get("part", "1") == "1" and (answer := reference_answer(chunk)):
                    pairs.append((chunk, QuestionAnswer(evaluation_question(chunk), answer, question_kind(chunk))))
            return pairs
        for chunk, text in zip(chunks, generate([_evaluation_request(c) for c in chunks]), strict=True):
            for question, answer in parse_pairs(text)[:1]:
                if not ungrounded(answer, chunk.text):
                    pairs.append((chunk, QuestionAnswer(question, answer, question_kind(chunk))))
        return pairs

    def _extractive(self, chunk: Chunk) -> Example | None:
        """The first part of a section or docstring answers, when it has prose; later parts begin in mid-thought."""
        if chunk.metadata.get("part", "1") != "1" or not reference_answer(chunk):
            return None
        answer = chunk.metadata.get("docstring", chunk.text)
        return Example(training_question(chunk), answer, chunk.id, chunk.document_id, self.name, "extractive")

    def _generated(self, chunk: Chunk, text: str) -> list[Example]:
        pairs = parse_pairs(text)[: self.questions_per_chunk]
        if not pairs:
            reason = "engine wrote no question and answer"
            return [Example("", text.strip(), chunk.id, chunk.document_id, self.name, "generated", reason)]
        return [
            Example(q, a, chunk.id, chunk.document_id, self.name, "generated", ungrounded(a, chunk.text))
            for q, a in pairs
        ]


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """`Q: ...` and `A: ...` pairs of an engine's text; what stands around them is ignored."""
    found = [(" ".join(m.group(1).split()), m.group(2).strip()) for m in PAIR.finditer(text)]
    return [(question, answer) for question, answer in found if question and answer]


def _request(chunk: Chunk, num_questions: int) -> str:
    return (
        f"Write {num_questions} different questions that this passage answers, each with its answer. Take the words of "
        "the answer from the passage. Write nothing but lines that begin with `Q:` and `A:`.\n\n"
        f"Passage ({' > '.join(chunk.heading_path)}):\n{chunk.text}"
    )


def _evaluation_request(chunk: Chunk) -> str:
    return (
        "An examiner checks whether someone knows this passage without seeing it. Write one specific question that "
        "names its subject, and the answer in the words of the passage, as a line `Q: ...` and a line `A: ...`.\n\n"
        f"Passage ({' > '.join(chunk.heading_path)}):\n{chunk.text}"
    )
