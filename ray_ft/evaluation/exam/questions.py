"""What is asked and of which documents: reads the prepared or the user's questions and draws a fixed sample."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TrainingSet
from ray_ft.config import EvaluationConfig
from ray_ft.errors import DataError, MissingArtifactError
from ray_ft.evaluation.exam.user_questions import SourceDocument, read_user_questions
from ray_ft.rows import STRATA, Question, Stratum, from_row
from ray_ft.storage import part_of

MAX_DOCUMENT_CHARS = 65_536
"""A held-out document is scored by its beginning: one huge file must not stand for all."""


def load_questions(
    training_set: TrainingSet, user_path: str | None, documents: Sequence[SourceDocument], *, required: bool = True
) -> list[Question]:
    """The user's questions when there are any, else those that prepare made; DataError for none if `required`."""
    if user_path is not None:
        return read_user_questions(Path(user_path), documents)
    path = _existing(training_set, "questions.jsonl")
    questions = [from_row(Question, json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n") if line]
    if not questions and required:
        raise DataError(
            f"{path} holds no questions: prepare found nothing to ask about, or held out no document. "
            "Raise data.test_fraction, or give user questions as evaluation.questions."
        )
    return questions


def draw_exam(
    training_set: TrainingSet, evaluation: EvaluationConfig, sources: Sequence[SourceDocument], *, seed: int
) -> tuple[list[Question], int, list[SourceDocument]]:
    """The questions to ask, how many they were drawn from, and the held-out documents with their text.

    DataError where there are neither questions nor documents.
    """
    documents = sample_held_out_documents(training_set, num_documents=evaluation.num_documents, seed=seed)
    candidates = load_questions(training_set, evaluation.questions, sources, required=not documents)
    questions = sample_questions(candidates, num_questions=evaluation.num_questions, seed=seed)
    return questions, len(candidates), documents


def load_documents(training_set: TrainingSet) -> list[SourceDocument]:
    """Every document that was read, without its text, by id."""
    path = _existing(training_set, "documents.parquet")
    rows = _read_parquet(path, columns=["id", "path", "split", "status"])
    found = [SourceDocument(r["id"], r["path"], r["split"]) for r in rows if r["status"] == "ok"]
    return sorted(found, key=lambda document: document.id)


def sample_held_out_documents(training_set: TrainingSet, *, num_documents: int, seed: int) -> list[SourceDocument]:
    """A fixed sample of test documents with their text's beginning; validation documents when there are no others."""
    path = _existing(training_set, "documents.parquet")
    for split in ("test", "validation"):
        rows = _read_parquet(path, columns=["id", "path", "split", "status", "text"], filters=[("split", "==", split)])
        found = [
            SourceDocument(r["id"], r["path"], split, r["text"][:MAX_DOCUMENT_CHARS])
            for r in rows
            if r["status"] == "ok" and r["text"].strip()
        ]
        if found:
            return sorted(found, key=lambda document: lot(seed, document.id))[:num_documents]
    return []


def trained_documents(training_set: TrainingSet) -> set[str]:
    """Ids of the documents whose examples were trained on, read from the examples themselves."""
    path = _existing(training_set, "examples.parquet")
    return {r["document_id"] for r in _read_parquet(path, columns=["document_id", "split"]) if r["split"] == "train"}


def sample_questions(questions: Sequence[Question], *, num_questions: int, seed: int) -> list[Question]:
    """A fixed sample, shared evenly between the strata that exist; a stratum that is too small leaves room to others.

    Within a stratum every document is asked once before any is asked twice: questions about one document tell less than
    questions about many.
    """
    strata: dict[Stratum, list[Question]] = defaultdict(list)
    for question in _spread_over_documents(questions, seed):
        strata[question.stratum].append(question)
    quotas = _share(num_questions, {name: len(members) for name, members in strata.items()})
    chosen = [question for name, members in strata.items() for question in members[: quotas[name]]]
    return sorted(chosen, key=lambda question: (STRATA.index(question.stratum), question.document_id, question.id))


def _spread_over_documents(questions: Iterable[Question], seed: int) -> list[Question]:
    """First questions of all documents, then second ones, and so on, each round in an order drawn by lot."""
    asked: Counter[tuple[str, str]] = Counter()
    ranked: list[tuple[int, str, Question]] = []
    for question in sorted(questions, key=lambda q: lot(seed, q.id)):
        document = (question.stratum, question.document_id)
        ranked.append((asked[document], lot(seed, question.id), question))
        asked[document] += 1
    return [question for _, _, question in sorted(ranked, key=lambda item: item[:2])]


def _share(total: int, available: Mapping[Stratum, int]) -> dict[Stratum, int]:
    """Split `total` evenly, smallest stratum first, so that what it cannot use goes to the others."""
    quotas: dict[Stratum, int] = {}
    for left, name in zip(
        range(len(available), 0, -1), sorted(available, key=lambda n: (available[n], STRATA.index(n))), strict=True
    ):
        quotas[name] = min(available[name], (total - sum(quotas.values())) // left)
    return quotas


def lot(seed: int, key: str) -> str:
    """A number drawn from the seed and the id alone, so that adding an item moves no other."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def _existing(training_set: TrainingSet, name: str) -> Path:
    path = part_of(training_set.path, name)
    if not path.exists():
        raise MissingArtifactError(
            f"The training set lacks {path}. Run `ray-ft prepare CONFIG --force` to make it again."
        )
    return path


def _read_parquet(path: Path, **options: Any) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path, **options).to_pylist()
    return rows
