"""What is shown of each question that is looked through, and the files that the decisions go to."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray_ft.artifacts import ReviewItem, TrainingSet, write_text
from ray_ft.config import EvaluationConfig
from ray_ft.errors import ConfigError, DataError
from ray_ft.evaluation.exam.questions import draw_exam, load_documents
from ray_ft.evaluation.exam.user_questions import read_user_questions
from ray_ft.evaluation.scores.metrics import states_fact
from ray_ft.evaluation.systems.gold import with_gold
from ray_ft.retrievers.passages import read_passages
from ray_ft.rows import Question, as_row

OF_CODE = ("language", "test")
"""Fields that only questions about code have."""
SHOWN = ("id", "question", "reference", "key_facts", "answerable", "document_id", "chunk_id", "kind", "stratum",
         *OF_CODE)  # fmt: skip
"""Fields of a question that a line of evaluation.questions has."""


def review_items(training_set: TrainingSet, evaluation: EvaluationConfig, *, seed: int) -> list[ReviewItem]:
    """The questions that `evaluate` would ask. Raises ConfigError for bad user questions, DataError for none."""
    documents = load_documents(training_set)
    questions, _, _ = draw_exam(training_set, evaluation, documents, seed=seed)
    if not questions:
        raise DataError("there are no questions to look through: give some as evaluation.questions")
    paths = {document.id: document.path for document in documents}
    passages = read_passages(training_set.path)
    by_id = {passage.id: passage for passage in passages}
    items = []
    for question in questions:
        found = by_id.get(with_gold(question, passages).chunk_id)
        path = paths.get(question.document_id, question.document_id)
        if found is None:
            items.append(ReviewItem(question, path))
        else:
            items.append(ReviewItem(question, path, found.text, tuple(found.heading_path)))
    return items


def as_line(question: Question) -> dict[str, Any]:
    """A question as evaluation.questions takes it."""
    row = as_row(question)
    return {name: row[name] for name in SHOWN if row[name] or name not in OF_CODE}


def mended(question: Question, *, text: str, reference: str, key_facts: Sequence[str]) -> Question:
    """A question in other words. Without facts, those stay that the reference still states, else it is the fact."""
    facts = tuple(fact.strip() for fact in key_facts if fact.strip())
    if question.answerable and not facts:
        facts = tuple(fact for fact in question.key_facts if states_fact(reference, fact)) or (reference,)
    return replace(question, question=text.strip(), reference=reference.strip(), key_facts=facts)


class Decisions:
    """Kept questions in a file that evaluation.questions takes, dropped ones in another beside it.

    Both are written whole at every decision, so that whoever stops has lost nothing, and goes on where they were.
    """

    def __init__(self, path: Path, *, source: str | None = None) -> None:
        """Take up what is there. Raises ConfigError for files that hold no questions, or the exam's own."""
        self.path = path
        self.dropped_path = path.with_name(f"{path.stem}.dropped{path.suffix or '.jsonl'}")
        if source is not None and Path(source).resolve() == path.resolve():
            raise ConfigError(f"{path} is evaluation.questions itself; name another file with --to")
        self.kept, self.dropped = _read(self.path), _read(self.dropped_path)

    def is_decided(self, question: Question) -> bool:
        """Whether somebody has said what becomes of it."""
        return question.id in self.kept or question.id in self.dropped

    def keep(self, question: Question) -> None:
        """It is asked, in these words."""
        self.dropped.pop(question.id, None)
        self.kept[question.id] = question
        self._write()

    def drop(self, question: Question) -> None:
        """It is not asked."""
        self.kept.pop(question.id, None)
        self.dropped[question.id] = question
        self._write()

    def undo(self, question: Question) -> None:
        """It is undecided again."""
        self.kept.pop(question.id, None)
        self.dropped.pop(question.id, None)
        self._write()

    def _write(self) -> None:
        for path, questions in ((self.path, self.kept), (self.dropped_path, self.dropped)):
            if not questions and not path.exists():
                continue
            lines = [json.dumps(as_line(question), ensure_ascii=False) + "\n" for question in questions.values()]
            write_text(path, "".join(lines))


def _read(path: Path) -> dict[str, Question]:
    if not path.exists() or not path.read_bytes().strip():
        return {}
    return {question.id: question for question in read_user_questions(path, ())}
