"""What an exam can show is known before it is set."""

import json
from pathlib import Path

import numpy as np
import pytest
from exam_fixtures import write_training_set

from ray_ft.artifacts import TrainingSet
from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.power import plan_exam, render_power, smallest_difference
from ray_ft.evaluation.scores.statistics import ALPHA, fewest_documents, sign_flip_p


@pytest.mark.parametrize(
    ("gain", "share", "num_questions"),
    [(0.03, 0.2, 1737), (0.05, 0.2, 621), (0.05, 0.4, 1248), (0.1, 0.2, 150), (0.1, 0.4, 307), (0.15, 0.3, 97)],
)
def test_it_is_the_power_table_of_independent_questions(gain: float, share: float, num_questions: int) -> None:
    found = smallest_difference(share, num_questions=num_questions, num_documents=num_questions)
    assert found == pytest.approx(gain, rel=0.02)


def test_simulated_exams_find_it_as_often_as_is_said() -> None:
    # 30 documents of 4 questions, which differ on 40% of them
    draw = np.random.default_rng(0)
    documents, each, share = 30, 4, 0.4
    gain = smallest_difference(share, num_questions=documents * each, num_documents=documents, alike=0.0)
    assert gain is not None
    chances = [(share - gain) / 2, 1 - share, (share + gain) / 2]
    found = 0
    for exam in range(200):
        by_document = draw.choice([-1.0, 0.0, 1.0], size=(documents, each), p=chances).sum(axis=1)
        found += sign_flip_p(by_document, num_draws=500, seed=exam) <= ALPHA
    assert 0.7 <= found / 200 <= 0.9


def test_more_questions_of_the_same_documents_help_less_than_other_documents() -> None:
    more_questions = smallest_difference(0.3, num_questions=200, num_documents=20)
    more_documents = smallest_difference(0.3, num_questions=200, num_documents=200)
    assert more_questions is not None
    assert more_documents is not None
    assert more_documents < 0.7 * more_questions


def test_too_few_documents_find_nothing() -> None:
    assert smallest_difference(0.4, num_questions=100, num_documents=5) is None
    assert smallest_difference(0.1, num_questions=10, num_documents=10) is None  # more than there is to find


def test_the_exam_of_a_configuration_is_counted_by_stratum(tmp_path: Path) -> None:
    training_set: TrainingSet = write_training_set(tmp_path / "data")
    found = plan_exam(training_set, EvaluationConfig(num_questions=24), seed=0)
    assert [power.stratum for power in found] == ["held_out", "seen"]
    assert sum(power.num_questions for power in found) == 24
    shown = render_power(found, margin=0.02)
    assert max(map(len, shown.splitlines())) <= 80
    assert "held-out documents" in shown
    assert json.dumps([power.smallest for power in found])


def test_the_retention_pack_is_in_the_plan_and_one_more_comparison(tmp_path: Path) -> None:
    found = plan_exam(write_training_set(tmp_path), EvaluationConfig(num_retention=1000), seed=0)
    by_stratum = {power.stratum: power for power in found}
    assert (by_stratum["retention"].num_questions, by_stratum["retention"].num_documents) == (200, 200)
    # three on held-out documents, three on seen ones, and tuned against base alone on general questions
    assert {power.fewest_for_none for power in found} == {fewest_documents(0.02, num_contrasts=7)}
