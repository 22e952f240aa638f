"""The questions that evaluation asks about a document, or about a conversation that was held out."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

from ray_ft.data.documents import Record
from ray_ft.grammars import GRAMMARS
from ray_ft.recipes import QA, CodeSummary, Recipe
from ray_ft.recipes.questions.from_structure import QuestionAnswer, key_facts
from ray_ft.rows import Chunk, CountTokens, Document, Generate, Message, Origin, Question, Split
from ray_ft.words import num_words

MAX_QUESTIONS_PER_DOCUMENT = 3  # many documents with few questions tell more than few with many
MAX_FACT_WORDS = 5
NO_WORD = re.compile(r"[\W_]+")


def make_questions(
    document: Document,
    *,
    split: Split,
    passages: Sequence[Chunk],
    prompts: Iterable[str],
    recipes: Sequence[Recipe],
    max_tokens: int,
    count_tokens: CountTokens,
    generate: Generate | None,
) -> list[Question]:
    """Questions about a document, at most MAX_QUESTIONS_PER_DOCUMENT, none of them among the trained prompts.

    Where code_summary is trained on, a document of code is also asked for code, as often.
    """
    trained = set(map(_plain, prompts))
    qa = evaluation_qa(recipes, max_tokens)
    pairs: list[tuple[Chunk, QuestionAnswer]] = []
    if qa.applies_to(document):
        pairs = qa.questions(_chosen(qa.chunk(document, count_tokens)), generate)
    made = _questions(pairs, document, trained, split, passages, "generated" if generate is not None else "extractive")
    writing = next((r for r in recipes if isinstance(r, CodeSummary)), None)
    if writing is not None and document.language in GRAMMARS:
        pairs = writing.questions(_chosen(writing.chunk(document, count_tokens)))
        coded = _questions(pairs, document, trained, split, passages, "extractive")
        made += [dataclasses.replace(question, language=document.language) for question in coded]
    return made


def _questions(
    pairs: Iterable[tuple[Chunk, QuestionAnswer]],
    document: Document,
    trained: set[str],
    split: Split,
    passages: Sequence[Chunk],
    origin: Origin,
) -> list[Question]:
    questions: dict[str, Question] = {}
    for chunk, pair in pairs:
        facts = tuple(fact for fact in key_facts(pair.answer) if pair.kind != "implement" or fact not in pair.question)
        if _plain(pair.question) in trained or not facts:
            continue
        gold = max(passages, key=lambda p: _overlap(p, chunk, pair.answer), default=None)
        questions[_plain(pair.question)] = Question(
            id=hashlib.sha256(f"{document.id}\0{pair.question}".encode()).hexdigest()[:16],
            document_id=document.id,
            chunk_id=gold.id if gold is not None else chunk.id,
            question=pair.question,
            reference=pair.answer,
            key_facts=facts,
            kind=pair.kind,
            stratum="held_out" if split == "test" else "seen",
            origin=origin,
        )
    return list(questions.values())[:MAX_QUESTIONS_PER_DOCUMENT]


def record_questions(
    record: Record, *, split: Split, system_prompt: str | None, max_tokens: int, count_tokens: CountTokens
) -> list[Question]:
    """The first question of a held-out conversation or prompt, with the answer that it has there.

    None where it has a system message of its own, which evaluation would not send, or is too long to be asked.
    """
    if split != "test" or record.text:
        return []
    first = record.examples[0]
    turns = first.messages or (Message("user", first.prompt), Message("assistant", first.completion))
    if turns[0] == Message("system", system_prompt or ""):
        turns = turns[1:]
    if [m.role for m in turns[:2]] != ["user", "assistant"] or count_tokens(turns[0].content) > max_tokens:
        return []
    question, answer = turns[0].content, turns[1].content.strip()
    return [
        Question(
            id=hashlib.sha256(f"{record.id}\0{question}".encode("utf-8", "replace")).hexdigest()[:16],
            document_id=record.id,
            chunk_id="",
            question=question,
            reference=answer,
            # A short answer is right as a whole; of a long one, its details are.
            key_facts=(answer,) if num_words(answer) <= MAX_FACT_WORDS else key_facts(answer) or (answer,),
            kind="conversation" if first.messages else "prompt",
            stratum="held_out",
            origin="source",
        )
    ]


def evaluation_qa(recipes: Sequence[Recipe], max_tokens: int) -> QA:
    """The QA recipe that asks for evaluation: the configured one, else its defaults with passages of the index."""
    configured = next((r for r in recipes if isinstance(r, QA)), None)
    return configured if configured is not None else dataclasses.replace(QA(), max_chunk_tokens=max_tokens)


def _chosen(chunks: Sequence[Chunk]) -> list[Chunk]:
    """A few more chunks than questions are wanted, drawn by the hash of their text, in the document's order."""
    first = [c for c in chunks if c.metadata.get("part", "1") == "1"]
    drawn = sorted(first, key=lambda c: hashlib.sha256(c.text.encode()).hexdigest())[: 2 * MAX_QUESTIONS_PER_DOCUMENT]
    return sorted(drawn, key=lambda c: c.start)


def _overlap(passage: Chunk, chunk: Chunk, answer: str) -> tuple[int, int]:
    """How well a passage holds the answer: words of the answer in it first, then characters shared with the chunk."""
    shared = min(passage.end, chunk.end) - max(passage.start, chunk.start)
    if shared <= 0:
        return (0, shared)
    words = set(passage.text.lower().split())
    return (sum(word in words for word in set(answer.lower().split())), shared)


def _plain(text: str) -> str:
    return " ".join(NO_WORD.sub(" ", text.lower()).split())
