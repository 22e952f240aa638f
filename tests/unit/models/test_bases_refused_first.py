"""A base that cannot be used is refused by the driver, before documents are read and before any worker starts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ray_ft.api import whole_runs
from ray_ft.api.base_model import base_path
from ray_ft.artifacts import TunedModel
from ray_ft.config import Config, EvaluationConfig, ModelConfig
from ray_ft.engines import ENGINES
from ray_ft.errors import ModelError
from ray_ft.evaluation.exam.tasks import Task
from ray_ft.evaluation.systems.answering import answer_all
from ray_ft.strategies import Full

LACKS = r"base: 1 of 38 weights are not in its files \(model\.norm\.weight\)"


@pytest.fixture
def base(tiny_model_path: str, tmp_path: Path) -> str:
    """A base without its last norm."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "base"
    shutil.copytree(tiny_model_path, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


@pytest.fixture
def config(base: str, tmp_path: Path) -> Config:
    return Config(run_name="r", output_dir=str(tmp_path / "out"), model=ModelConfig(name=base))


def test_a_run_refuses_it_before_documents_are_read(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_runs, "prepare", lambda *_, **__: pytest.fail("documents were read"))
    with pytest.raises(ModelError, match=LACKS):
        whole_runs.run(config)


def test_documents_can_be_prepared_with_the_tokenizer_alone_but_not_for_foreign_bits(config: Config, base: str) -> None:
    for file in Path(base).glob("*.safetensors"):
        file.unlink()
    assert base_path(config, tokenizer_only=True) == base
    values = json.loads((Path(base) / "config.json").read_text())
    (Path(base) / "config.json").write_text(json.dumps({**values, "quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(ModelError, match="is quantised by gptq"):
        base_path(config, tokenizer_only=True)


def test_training_and_data_made_with_the_base_refuse_it(config: Config) -> None:
    with pytest.raises(ModelError, match=LACKS):
        base_path(config)


@pytest.mark.parametrize("harmed", ["base_path", "path"])
def test_evaluation_refuses_base_and_tuned_model_before_any_of_them_answers(
    harmed: str, base: str, tiny_model_path: str
) -> None:
    paths: dict[str, Any] = {"base_path": tiny_model_path, "path": tiny_model_path, harmed: base}
    tuned = TunedModel(
        base_model="b", base_digest="", is_adapter=False, strategy=Full(), metrics={}, steps=1, fingerprint="", **paths
    )
    with pytest.raises(ModelError, match=LACKS):
        answer_all(
            [Task(0, "question", system, "?") for system in ("base", "tuned")],
            questions=[],
            tuned=tuned,
            model=ModelConfig(name=base),
            evaluation=EvaluationConfig(),
            engine=ENGINES["transformers"](),
        )
