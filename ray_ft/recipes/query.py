"""Query recipe: a question asks, the whole passage answers, as in the paper (arXiv 2404.10779)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import titled
from ray_ft.recipes.grounding.check import off_topic
from ray_ft.recipes.questions.coverage import allot
from ray_ft.recipes.questions.from_structure import question_about, training_question
from ray_ft.recipes.questions.topics import own_topics, topic_of
from ray_ft.recipes.questions.written import passage_of, questions_request, questions_schema, read_questions
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate, Origin
from ray_ft.words import num_words

MIN_WORDS = 8  # shorter passages answer no question


@RECIPES.register("query")
@dataclass(frozen=True)
class Query(Recipe):
    """Question -> passage. An engine writes several questions for each; without one, the heading becomes the question.

    A question that names what its passage does not, or is about something else, is dropped. Where several passages
    stand below one heading, their keywords tell them apart.
    """

    name: str = "query"
    questions_per_chunk: int = 3
    """Questions for a passage of max_chunk_tokens; shorter ones get fewer, at least one."""
    max_questions: int | None = None
    """Questions of one document at most, spread over all of its text; null sets no limit."""
    with_headings: bool = False
    """Begin each passage with the path of its headings, which the model then learns to write too."""

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        return [c for c in super().chunk(document, count_tokens) if num_words(c.text) >= MIN_WORDS]

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        if generate is None:
            return [self._example(c, q, "extractive") for c, q in _by_heading(chunks) if q]
        counts = allot(
            chunks, per_chunk=self.questions_per_chunk, full_tokens=self.max_chunk_tokens, limit=self.max_questions
        )
        asked = [(c, n) for c, n in zip(chunks, counts, strict=True) if n]
        schema = questions_schema(num_questions=self.questions_per_chunk)
        texts = generate([questions_request(c, num_questions=n) for c, n in asked], schema=schema)
        return [e for (c, n), text in zip(asked, texts, strict=True) for e in self._written(c, text, n)]

    def _written(self, chunk: Chunk, text: str, num_questions: int) -> list[Example]:
        questions = list(dict.fromkeys(read_questions(text)))[:num_questions]
        if not questions:
            return [self._example(chunk, "", "generated", "engine wrote no question")]
        return [self._example(chunk, q, "generated", off_topic(q, passage_of(chunk))) for q in questions]

    def _example(self, chunk: Chunk, question: str, origin: Origin, dropped: str = "") -> Example:
        answer = titled(chunk) if self.with_headings else chunk.text
        return Example(question, answer, chunk.id, chunk.document_id, self.name, origin, dropped)


def _by_heading(chunks: Sequence[Chunk]) -> list[tuple[Chunk, str]]:
    """Each passage with a question that no other of them has; "" where there is none."""
    asked = [(c, training_question(c) or _about(c)) for c in chunks]
    times = Counter(question for _, question in asked)
    own = own_topics([c for c, question in asked if question and times[question] > 1])
    found: dict[str, Chunk] = {}
    for chunk, question in asked:
        topic = topic_of(chunk)
        if topic is not None and (words := own.get(chunk.id)):
            named = words if len(chunk.heading_path) < 2 else f"{words} ({topic.title})"
            question = question_about(replace(topic, words=named), chunk)
        found.setdefault(question, chunk)
    return [(chunk, question) for question, chunk in found.items()]


def _about(chunk: Chunk) -> str:
    """The question for a passage that no heading asks for, such as the first lines of a document."""
    topic = topic_of(chunk)
    return question_about(topic, chunk) if topic is not None else ""
