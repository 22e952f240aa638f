"""The passage that answers a question, where it names none: what retrieval is to find, and +oracle is shown."""

from collections.abc import Sequence
from dataclasses import replace

from ray_ft.evaluation.scores.metrics import states_fact
from ray_ft.rows import Chunk, Question


def with_gold(question: Question, passages: Sequence[Chunk]) -> Question:
    """The question with the passage of its document that holds most of its facts, then of its reference's words.

    One that names a passage keeps it; where the document holds none of the facts there is none.
    """
    if question.chunk_id or not question.answerable:
        return question
    words = set(question.reference.casefold().split())
    held = [
        (sum(states_fact(p.text, fact) for fact in question.key_facts), len(words & set(p.text.casefold().split())), p)
        for p in passages
        if p.document_id == question.document_id
    ]
    facts, _, best = max(held, key=lambda one: one[:2], default=(0, 0, None))
    return replace(question, chunk_id=best.id) if facts and best is not None else question
