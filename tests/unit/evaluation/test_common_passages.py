"""User questions after a first report may share with training what data.common holds, as prepared ones may."""

import contextlib
import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exam_fixtures import KnowingEngine, KnowingModel, document_id, fact, tuned_model, write_training_set

from ray_ft import api, artifacts
from ray_ft.config import Config, DataConfig, EvaluationConfig, ModelConfig
from ray_ft.errors import ConfigError
from ray_ft.evaluation import compare as stage
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.systems import answering
from ray_ft.evaluation.systems.prompts import perform

NOTICE = "All rates are subject to change without any notice to the passenger."


def in_this_process(tasks: list[Task], *, questions: list[object], **_: object) -> list[Done]:
    model = KnowingModel("base", {"tuned": "folder"}, 200)
    return [
        answering._scored(d, questions)  # type: ignore[arg-type]
        for d in perform(tasks, model, tuned_adapter="tuned", system_prompt=None, max_new_tokens=32)
    ]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A run that was trained on a notice, and a user question whose reference has it."""
    monkeypatch.setattr(stage, "answer_all", in_this_process)
    monkeypatch.setattr("ray_ft.api.evaluation.ray_session", lambda config: contextlib.nullcontext())
    row = {"prompt": "", "completion": NOTICE, "chunk_id": "", "document_id": document_id(0), "recipe": "paragraph",
           "origin": "source", "split": "train"}  # fmt: skip
    run = tmp_path / "run"
    artifacts.save(write_training_set(tmp_path / "data"), run, {})
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data" / "examples.parquet" / "c.parquet")
    artifacts.save(tuned_model(tmp_path / "models"), run, {})
    asked = {
        "question": "What does widget01a do?",
        "reference": f"{fact(1, 0)} {NOTICE}",
        "document_id": document_id(1),
    }
    (tmp_path / "asked.jsonl").write_text(json.dumps(asked) + "\n")
    (tmp_path / "notice.txt").write_text(NOTICE)
    return Config(
        run_name="run", output_dir=str(tmp_path), model=ModelConfig(name="fake"), data=DataConfig(sources=("x",)),
        engine=KnowingEngine(),
        evaluation=EvaluationConfig(questions=str(tmp_path / "asked.jsonl"), num_bootstrap=200, max_new_tokens=32),
    )  # fmt: skip


def with_common(config: Config, *paths: str) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, common=paths))


def test_what_is_declared_as_common_is_no_leak_of_a_user_question(config: Config, tmp_path: Path) -> None:
    leak = "Leak: 1 held out questions overlap with the training examples (run)"
    assert any(note.startswith(leak) for note in api.evaluate(config).notes)
    declared = with_common(config, str(tmp_path / "notice.txt"))
    assert not any("Leak" in note for note in api.evaluate(declared, force=True).notes)


def test_common_passages_that_are_gone_are_told_before_anything_is_asked(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"data\.common: cannot read 'gone\.txt'"):
        api.evaluate(with_common(config, "gone.txt"))
