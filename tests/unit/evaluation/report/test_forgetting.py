"""What tuning cost stands on the page beside what it gained: the retention pack, and what the base itself says."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from exam_fixtures import NATS_PER_TOKEN, KnowingEngine, KnowingModel, tuned_model, write_training_set

from ray_ft.artifacts import Contrast, Report, Share
from ray_ft.config import EvaluationConfig, ModelConfig
from ray_ft.evaluation import compare as stage
from ray_ft.evaluation.exam.retention import read_pack
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.gate import rule_on
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.report.brief import render_brief
from ray_ft.evaluation.scores.contrasts import contrasts_of
from ray_ft.evaluation.scores.scoring import measure
from ray_ft.evaluation.systems import answering
from ray_ft.evaluation.systems.prompts import perform
from ray_ft.evaluation.two_runs import compare_runs

SETTINGS = EvaluationConfig(num_questions=24, max_new_tokens=32, num_bootstrap=200, num_retention=40)
LOST = Contrast(
    "key_fact_recall", "tuned", "base", -0.4, -0.5, -0.3, 0.001, 200, "worse", "retention", 200, primary=True,
    margin=0.1,
)  # fmt: skip
DRIFT = dataclasses.replace(
    LOST, metric="bits_per_token", difference=0.5, low=0.25, high=0.75, stratum="the base's own samples", primary=False
)


def in_this_process(tasks: list[Task], *, questions: list[object], tuned: object, **_: object) -> list[Done]:
    """What the Ray jobs do: one for an adapter and its base, two for a whole model."""
    done: list[Done] = []
    for path, adapters, part in answering._loads(tasks, tuned):  # type: ignore[arg-type]
        model = KnowingModel("tuned" if path.endswith("tuned") else "base", adapters, 120)
        part = answering._with_said(part, done)
        settings = {"tuned_adapter": "tuned" if adapters else None, "system_prompt": None, "max_new_tokens": 32}
        done += [answering._scored(d, questions) for d in perform(part, model, **settings)]  # type: ignore[arg-type]
    return [answering._done(row) for row in answering._table(done).to_pylist()]  # as it travels


def evaluated(folder: Path, *, is_adapter: bool = True, evaluation: EvaluationConfig = SETTINGS) -> Report:
    return stage.compare(
        training_set=write_training_set(folder / "data"), tuned=tuned_model(folder / "models", is_adapter=is_adapter),
        model=ModelConfig(name="fake"), evaluation=evaluation, engine=KnowingEngine(), run_path=str(folder / "run"),
        seed=0, fingerprint="r" * 16,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "answer_all", in_this_process)


@pytest.mark.parametrize("is_adapter", [True, False])
def test_a_loss_is_told_on_the_page_that_tells_the_gain(tmp_path: Path, is_adapter: bool) -> None:
    report = evaluated(tmp_path, is_adapter=is_adapter)
    by_stratum = {c.stratum: c for c in report.contrasts if c.primary and (c.treatment, c.control) == ("tuned", "base")}
    assert (by_stratum["seen"].verdict, by_stratum["retention"].verdict) == ("better", "worse")
    assert (by_stratum["retention"].num_items, by_stratum["retention"].difference) == (40, -1.0)
    page, text = ((tmp_path / "run" / name).read_text() for name in ("report.html", "report.md"))
    for said in (page, text):
        assert "On general questions, tuned lost what base could do, more than the margin of 2.0 points" in said
        assert "KL(base || tuned)" in said
        assert "serve with passages, and tune for what they cannot give. But tuning cost what the base could do" in said
    assert "fact 14 and 0 of 14" in report.details["retention pack"]
    rulings = {ruling.rule: ruling for ruling in rule_on(report.contrasts, min_gain=0.0, max_loss=0.05)}
    assert not rulings["loss"].passed
    brief = render_brief(report, page="report.html", serve="serve")
    assert "Kept    On general questions, tuned lost" in brief
    assert "Next    add data.rehearsal, which mixes in general prompts" in brief
    for said in (page, text):
        assert "add data.rehearsal, which mixes in general prompts that the base itself answers" in said


def test_drift_is_in_bits_for_each_token_that_the_base_said(tmp_path: Path) -> None:
    report = evaluated(tmp_path)
    (drift,) = [c for c in report.contrasts if c.metric == "bits_per_token"]
    assert drift.difference == pytest.approx((NATS_PER_TOKEN["tuned"] - NATS_PER_TOKEN["base"]) / math.log(2))
    assert (drift.num_items, drift.primary) == (40, False)
    rows = [json.loads(line) for line in (tmp_path / "run/evaluation/own_samples.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 40
    assert {(row["system"], row["num_tokens"], round(row["bits"], 3)) for row in rows} == {
        ("base", 3, round(3 * 1.0 / math.log(2), 3)), ("tuned", 3, round(3 * 1.75 / math.log(2), 3))
    }  # fmt: skip


def test_a_whole_model_scores_what_its_base_said(tmp_path: Path) -> None:
    one, two = evaluated(tmp_path / "one"), evaluated(tmp_path / "two", is_adapter=False)
    assert one.contrasts == two.contrasts


def test_the_pack_is_asked_of_base_and_tuned_alone_and_no_other_question_changes(tmp_path: Path) -> None:
    evaluated(tmp_path / "with")
    evaluated(tmp_path / "without", evaluation=dataclasses.replace(SETTINGS, num_retention=0))
    asked, before = (
        [json.loads(line) for line in (tmp_path / name / "run/evaluation/samples.jsonl").read_text().splitlines()]
        for name in ("with", "without")
    )
    packed = [row for row in asked if row["stratum"] == "retention"]
    assert all(list(row["answers"]) == ["base", "tuned"] for row in packed)
    assert [row for row in asked if row["stratum"] != "retention"] == before
    assert not (tmp_path / "without/run/evaluation/own_samples.jsonl").exists()


def test_two_runs_are_compared_by_what_the_same_base_said(tmp_path: Path) -> None:
    from ray_ft.artifacts import save

    runs = [tmp_path / name / "run" for name in ("a", "b")]
    for run in runs:
        save(evaluated(run.parent), run, {})
    found = compare_runs(*runs, margin=0.02, num_bootstrap=200, seed=0)
    drift = {(c.treatment, c.control): c.difference for c in found.contrasts if c.metric == "bits_per_token"}
    assert drift == {("B base", "A base"): 0.0, ("B tuned", "A tuned"): 0.0}


def test_a_question_of_the_pack_that_was_trained_on_is_a_leak(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    trained_set = write_training_set(tmp_path / "data")
    trained = {question.question: question.reference for question in read_pack()}
    rows = [{"prompt": q, "completion": a, "chunk_id": "", "document_id": "x", "recipe": "prompt", "origin": "source",
             "split": "train"} for q, a in trained.items()]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "examples.parquet" / "c.parquet")
    report = stage.compare(
        training_set=trained_set, tuned=tuned_model(tmp_path / "models"),
        model=ModelConfig(name="fake"), evaluation=SETTINGS, engine=KnowingEngine(), run_path=str(tmp_path / "run"),
        seed=0, fingerprint="r" * 16,
    )  # fmt: skip
    assert report.notes[0].startswith("Leak: 40 retention questions overlap with the training examples (question)")


@pytest.mark.parametrize(
    ("changes", "tag", "sentence"),
    [
        (
            {},
            "loss",
            "tuned lost what base could do, more than the margin of 10.0 points: key-fact recall −40.0 points",
        ),
        ({"difference": -0.05, "low": -0.08, "high": -0.02}, "loss", "less than the margin of 10.0 points"),
        (
            {"low": -0.09, "high": 0.05, "verdict": "undecided", "num_more": 9},
            "no evidence of loss",
            "beyond 10.0 points",
        ),
        ({"low": 0.1, "high": 0.2, "verdict": "better"}, "no evidence of loss", "beyond 10.0 points"),
        ({"low": -0.11, "high": 0.05, "verdict": "undecided", "num_more": 9}, "open", "is not ruled out"),
        ({"low": 0.0, "high": 0.0, "verdict": "undecided"}, "open", "next to nothing"),
        ({"low": 0.0, "high": 0.0, "verdict": "undecided", "num_documents": 5}, "open", "is not ruled out"),
    ],
)
def test_a_loss_is_shown_ruled_out_or_open(changes: dict[str, object], tag: str, sentence: str) -> None:
    (kept,) = findings.forgetting([dataclasses.replace(LOST, **changes)])  # type: ignore[arg-type]
    assert kept.tag == tag
    assert sentence in kept.sentence
    assert "forget" not in kept.sentence


@pytest.mark.parametrize(
    ("recipes", "share", "said"),
    [
        (("qa",), None, "add data.rehearsal, which mixes in general prompts that the base itself answers; then lower"),
        # A dataset of the user's that is called so is none.
        (("qa", "prompt"), Share(1.0, 60), "add data.rehearsal, which"),
        (("qa", "rehearsal"), Share(1.0, 95), "raise data.rehearsal.num_examples: 95 answers of the base were mixed"),
        (("qa", "rehearsal"), Share(0.5, 719), "and there are 900 prompts; then lower train.learning_rate or"),
        (("qa", "rehearsal"), Share(0.5, 870), "lower train.learning_rate or train.num_epochs, or raise data.rehe"),
    ],
)
def test_the_remedy_is_the_next_step_behind_what_training_held(
    tmp_path: Path, recipes: tuple[str, ...], share: Share | None, said: str
) -> None:
    made = write_training_set(tmp_path / "data")
    made = dataclasses.replace(made, recipes=recipes, mixture={"rehearsal": share} if share else {})
    assert said in findings.remedy([LOST], made)
    assert "\n" not in findings.remedy([LOST], made)


def test_there_is_no_remedy_where_nothing_was_lost(tmp_path: Path) -> None:
    made = write_training_set(tmp_path / "data")
    kept = dataclasses.replace(LOST, low=-0.05, high=0.05, verdict="no meaningful difference")
    assert findings.remedy([kept, DRIFT], made) == ""


def test_a_report_of_an_earlier_version_has_a_next_step_too(tmp_path: Path) -> None:
    report = dataclasses.replace(evaluated(tmp_path), remedy="")
    assert "Next    mix general examples in by data.rehearsal" in render_brief(report, page="p", serve="serve")


def test_a_loss_of_the_margin_is_seldom_ruled_out_and_no_loss_nearly_always() -> None:
    # 200 questions, of which base answers 60%; ruled out by mistake in 2.5% of exams, standard error 1.3 points
    draw, ruled_out, num_exams = np.random.default_rng(0), {0.1: 0, 0.0: 0}, 150
    for loss in ruled_out:
        for seed in range(num_exams):
            base = (draw.random(200) < 0.6).astype(float)
            tuned = np.where(draw.random(200) < loss / 0.6, 0.0, base)
            columns = {("base", "key_fact_recall"): list(base), ("tuned", "key_fact_recall"): list(tuned)}
            group = measure("retention", columns, [str(i) for i in range(200)], num_bootstrap=300, seed=seed)
            (kept,) = findings.forgetting(contrasts_of([group], margin=0.1, num_bootstrap=300, seed=seed))
            ruled_out[loss] += kept.tag == "no evidence of loss"
    assert ruled_out[0.1] / num_exams <= 0.065
    assert ruled_out[0.0] == num_exams


def test_what_has_moved_is_told_without_a_judgement() -> None:
    (kept,) = findings.forgetting([DRIFT])
    assert kept.tag == "moved"
    assert "by 0.500 bits per token, 95% interval 0.250 to 0.750, over 200 texts on 200 prompts" in kept.sentence
