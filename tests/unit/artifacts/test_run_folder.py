"""A tuned model that is there: kept, refused where another configuration made it, or gone on from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ray_ft import artifacts
from ray_ft.api.run_folder import existing_artifact
from ray_ft.artifacts import TunedModel
from ray_ft.errors import ConfigError
from ray_ft.strategies import LoRA

INPUTS = {"train": {"max_steps": 6, "load_best": False, "compile": None, "learning_rate": 0.1}, "seed": 0}


def existing(run_path: Path, *, resume: bool, **keys: Any) -> TunedModel | None:
    config: Any = SimpleNamespace(run_path=run_path)
    inputs = {**INPUTS, "train": {**INPUTS["train"], **keys}}  # type: ignore[dict-item]
    return existing_artifact(TunedModel, config, inputs, verb="train", force=False, resume=resume)


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    made = TunedModel("b", "b", "d", str(tmp_path), True, LoRA(), {}, 6, "f")
    artifacts.save(made, tmp_path, INPUTS)
    return tmp_path


@pytest.mark.parametrize("resume", [True, False])
def test_what_computes_the_same_leaves_it_finished(resume: bool, run_path: Path) -> None:
    assert existing(run_path, resume=resume, compile=True) is not None


@pytest.mark.parametrize("keys", [{"max_steps": 12}, {"num_epochs": 5.0}, {"load_best": True}])
def test_a_run_that_is_to_end_otherwise_is_gone_on_with_where_asked(keys: dict[str, Any], run_path: Path) -> None:
    assert existing(run_path, resume=True, **keys) is None
    with pytest.raises(ConfigError, match="made from another configuration"):
        existing(run_path, resume=False, **keys)


@pytest.mark.parametrize("keys", [{"learning_rate": 0.2}, {"learning_rate": 0.2, "max_steps": 12}])
def test_a_run_of_other_steps_is_refused(keys: dict[str, Any], run_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rate: 0\.1 -> 0\.2"):
        existing(run_path, resume=True, **keys)
