"""What `data.rehearsal` changes of a run's identity and of its estimates, and what it leaves as it was."""

from pathlib import Path
from typing import Any

import pytest

from ray_ft.api import planning
from ray_ft.api.fingerprints import data_inputs
from ray_ft.artifacts import changed_keys, digest
from ray_ft.config import Config, RehearsalConfig, parse_config
from ray_ft.data.generation import rehearsal

RAW: dict[str, Any] = {
    "run_name": "r",
    "model": {"name": "builtin:tiny"},
    "data": {"sources": ["docs"], "recipes": ["paragraph"]},
}


def config_of(folder: Path, *overrides: str) -> Config:
    return parse_config(RAW, [f"output_dir={folder}", *overrides])


def test_a_set_without_rehearsal_keeps_the_identity_that_it_had(tmp_path: Path) -> None:
    inputs = data_inputs(config_of(tmp_path))
    assert "rehearsal" not in inputs["data"]
    # As the version before the key had it.
    assert digest(inputs) == "cd4673c68b7454da"


def test_other_rehearsal_other_prompts_and_no_other_engine_make_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data_inputs(config_of(tmp_path, "data.rehearsal.num_examples=9"))
    assert changed_keys(before, data_inputs(config_of(tmp_path, "data.rehearsal.num_examples=8"))) == [
        "data.rehearsal.num_examples: 9 -> 8"
    ]
    same = data_inputs(config_of(tmp_path, "data.rehearsal.num_examples=9", "engine.name=transformers"))
    assert changed_keys(before, same) == []
    monkeypatch.setattr(rehearsal, "read_prompts", lambda: [("fact", "Why?")])
    now = data_inputs(config_of(tmp_path, "data.rehearsal.num_examples=9"))
    assert [line.split(":")[0] for line in changed_keys(before, now)] == ["data.rehearsal.prompts"]


def test_a_plan_before_there_is_a_training_set_counts_the_answers_to_come(tmp_path: Path) -> None:
    workload, notes = planning._workload(config_of(tmp_path))
    assert (workload.num_tokens, len(notes)) == (10_000_000, 1)
    given = config_of(tmp_path, "data.rehearsal.num_examples=100", "data.rehearsal.max_new_tokens=60",
                      "data.rehearsal.weight=2")  # fmt: skip
    # 100 examples, twice, of 40 + 60 tokens.
    assert given.data.rehearsal == RehearsalConfig(100, 2.0, 60)
    workload, notes = planning._workload(given)
    assert workload.num_tokens == 10_020_000
    assert "10,020,000 tokens per epoch, 20,000 of them of data.rehearsal," in notes[0]
    own = config_of(tmp_path, "data.rehearsal.num_examples=100", "plan.num_tokens=5000")
    assert planning._workload(own)[0].num_tokens == 5000
