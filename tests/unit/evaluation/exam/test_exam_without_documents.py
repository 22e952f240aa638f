"""An exam on a training set of conversations or plain text: what cannot be compared is left out, and said."""

from pathlib import Path

import pytest
from exam_fixtures import write_training_set

from ray_ft.artifacts import TrainingSet
from ray_ft.config import EvaluationConfig
from ray_ft.errors import ConfigError, DataError
from ray_ft.evaluation.compare import Exam, judge, set_exam


@pytest.fixture
def training_set(tmp_path: Path) -> TrainingSet:
    return write_training_set(tmp_path / "data")


def _without(training_set: TrainingSet, *tables: str) -> None:
    """Empty tables, with their columns."""
    import pyarrow.parquet as pq

    for table in tables:
        for path in (Path(training_set.path) / f"{table}.parquet").iterdir():
            pq.write_table(pq.read_table(path).slice(0, 0), path)


def _exam(training_set: TrainingSet, *systems: str) -> Exam:
    config = EvaluationConfig(systems=systems or EvaluationConfig.systems, num_questions=6)  # type: ignore[arg-type]
    return set_exam(training_set, config, sources=[], seed=0, room=1000)


def test_without_passages_the_systems_with_retrieval_are_left_out_in_one_sentence(training_set: TrainingSet) -> None:
    _without(training_set, "passages")
    exam = _exam(training_set)
    assert exam.systems == ("base", "tuned")
    assert exam.notes == ("There is no document to retrieve from, so base+rag and tuned+rag were not compared.",)
    assert len(exam.questions) == 6


def test_retrieval_alone_over_nothing_is_refused(training_set: TrainingSet) -> None:
    _without(training_set, "passages")
    with pytest.raises(ConfigError, match=r"^evaluation\.systems: there is no document to retrieve from; add base"):
        _exam(training_set, "base+rag")


def test_without_questions_held_out_texts_are_still_compared(training_set: TrainingSet) -> None:
    (Path(training_set.path) / "questions.jsonl").write_text("")
    exam = _exam(training_set)
    assert (exam.questions, len(exam.documents)) == ([], 12)
    assert exam.notes == (
        "There are no questions, so only bits per byte are compared: give some as evaluation.questions.",
    )
    assert judge(exam, [], evaluation=EvaluationConfig(num_bootstrap=100), seed=0) == ([], [])


def test_without_questions_and_without_held_out_texts_there_is_nothing_to_measure(training_set: TrainingSet) -> None:
    (Path(training_set.path) / "questions.jsonl").write_text("")
    _without(training_set, "documents")
    with pytest.raises(DataError, match="holds no questions"):
        _exam(training_set)
