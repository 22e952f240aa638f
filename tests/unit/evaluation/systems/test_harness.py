"""Tasks of lm-evaluation-harness: what is missing is one line, and their items are judged as other questions are."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from exam_fixtures import KnowingEngine, KnowingModel, tuned_model, write_training_set

from ray_ft.api.fingerprints import evaluation_inputs
from ray_ft.artifacts import Report
from ray_ft.config import Config, DataConfig, DatasetConfig, EvaluationConfig, ModelConfig
from ray_ft.config.checks import check_values
from ray_ft.errors import ConfigError, MissingDependencyError
from ray_ft.evaluation import compare as stage
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.gate import rule_on
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.systems import answering, harness
from ray_ft.evaluation.systems.prompts import perform

SETTINGS = EvaluationConfig(num_questions=24, max_new_tokens=32, num_bootstrap=200, margin=0.1)
NUM_ITEMS = 100


def in_this_process(tasks: list[Task], *, questions: list[object], **_: object) -> list[Done]:
    model = KnowingModel("base", {"tuned": "folder"}, 120)
    done = perform(tasks, model, tuned_adapter="tuned", system_prompt=None, max_new_tokens=32)
    return [answering._scored(d, questions) for d in done]  # type: ignore[arg-type]


def scored(tuned: Sequence[float]) -> harness.TaskScores:
    def side(values: Sequence[float]) -> dict[str, object]:
        return {"metric": "acc", "scores": {f"{i:03d}": value for i, value in enumerate(values)}}

    return harness.pair_scores("our_task", side([1.0] * len(tuned)), side(tuned))


def report_on(folder: Path, monkeypatch: pytest.MonkeyPatch, task: harness.TaskScores) -> Report:
    monkeypatch.setattr(stage, "answer_all", in_this_process)
    monkeypatch.setattr(stage, "require_harness", lambda tasks: None)
    monkeypatch.setattr(stage, "do_tasks", lambda tasks, path, **_: [task])
    return stage.compare(
        training_set=write_training_set(folder / "data"), tuned=tuned_model(folder / "models"),
        model=ModelConfig(name="fake"), evaluation=SETTINGS, engine=KnowingEngine(), run_path=str(folder / "run"),
        seed=0, fingerprint="r" * 16,
    )  # fmt: skip


def test_a_package_that_is_not_there_is_named_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"^evaluation\.lm_eval_tasks needs .*'ray_ft\[lm-eval\]'$"):
        stage.compare(
            training_set=write_training_set(tmp_path / "data"), tuned=tuned_model(tmp_path / "models"),
            model=ModelConfig(name="fake"), evaluation=dataclasses.replace(SETTINGS, lm_eval_tasks=("hellaswag",)),
            engine=KnowingEngine(), run_path=str(tmp_path / "run"), seed=0, fingerprint="r" * 16,
        )  # fmt: skip


@pytest.mark.parametrize(("num_lost", "tag", "passed"), [(0, "no evidence of loss", True), (40, "loss", False)])
def test_a_task_is_judged_as_general_questions_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_lost: int, tag: str, passed: bool
) -> None:
    tuned = [0.0] * num_lost + [1.0] * (NUM_ITEMS - num_lost)
    report = report_on(tmp_path, monkeypatch, scored(tuned))
    (kept,) = findings.forgetting(report.contrasts)
    assert kept.tag == tag
    assert "On lm-eval our_task, " in kept.sentence
    assert f"acc {'−40.0' if num_lost else '0.0'} points" in kept.sentence
    assert kept.sentence.replace("||", "") in (tmp_path / "run" / "report.md").read_text()
    (loss,) = [r for r in rule_on(report.contrasts, min_gain=0, max_loss=0.1) if r.rule == "loss"]
    assert loss.passed is passed
    assert {s.stratum for s in report.scores if s.metric == "acc"} == {"lm-eval our_task"}


def test_a_metric_that_is_no_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lm_eval_tasks: our_task: acc is no share"):
        scored([3.5])


def test_both_systems_have_to_be_there_and_old_reports_keep_their_identity(tmp_path: Path) -> None:
    config = Config(run_name="r", model=ModelConfig(name="x"), data=DataConfig(datasets=(DatasetConfig("x"),)))
    for given in ({"num_retention": 20}, {"lm_eval_tasks": ("hellaswag",)}):
        name = next(iter(given))
        alone = dataclasses.replace(SETTINGS, systems=("base+rag",), **given)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=rf"must be a list with base and tuned, for evaluation\.{name}"):
            check_values(dataclasses.replace(config, evaluation=alone), "c.yaml")
    before = evaluation_inputs(config, tuned_model(tmp_path))["evaluation"]
    asked = dataclasses.replace(config, evaluation=dataclasses.replace(SETTINGS, num_retention=20))
    assert not {"num_retention", "lm_eval_tasks", "lm_eval_path"} & set(before)
    assert evaluation_inputs(asked, tuned_model(tmp_path))["evaluation"]["num_retention"] == 20
