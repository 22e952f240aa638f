"""`data.rehearsal` from the configuration to the packed rows, with a real base that answers."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import ray_ft
from ray_ft.artifacts import TrainingSet
from ray_ft.config import Config, parse_config
from ray_ft.errors import ConfigError

pytestmark = pytest.mark.ray

NUM_EXAMPLES = 12


def _config(root: Path, model: str, *overrides: str) -> Config:
    raw = {
        "run_name": "rehearsed",
        "output_dir": str(root / "outputs"),
        "model": {"name": model, "max_seq_len": 192, "system_prompt": "Be brief."},
        "data": {
            "sources": [str(root / "docs")], "recipes": ["paragraph"], "validation_fraction": 0, "test_fraction": 0,
            # Drawn, as the likeliest words of a model as small as this one go round in circles.
            "rehearsal": {"num_examples": NUM_EXAMPLES, "max_new_tokens": 8, "temperature": 1.5, "weight": 2},
        },
    }  # fmt: skip
    return parse_config(raw, overrides)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: str, ray_cluster: None) -> Config:
    root = tmp_path_factory.mktemp("rehearsal")
    (root / "docs").mkdir()
    (root / "docs" / "ferry.md").write_text("# Ferry\n\nThe ferry leaves every forty minutes from the north gate.\n")
    return _config(root, tiny_model_path)


@pytest.fixture(scope="module")
def made(config: Config) -> TrainingSet:
    return ray_ft.prepare(config)


def _rows(made: TrainingSet) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(Path(made.path) / "examples.parquet").to_pylist()
    return [row for row in rows if row["recipe"] == "rehearsal"]


def test_the_answers_of_the_base_are_packed_shown_and_counted(config: Config, made: TrainingSet) -> None:
    rows = _rows(made)
    assert len(rows) == NUM_EXAMPLES
    kept = [row for row in rows if not row["dropped"]]
    assert kept
    assert {(row["split"], row["copies"], row["origin"]) for row in kept} == {("train", 2, "generated")}
    share = made.mixture["rehearsal"]
    assert (share.weight, share.num_available, share.num_examples) == (2.0, len(kept), 2 * len(kept))
    assert made.recipes == ("paragraph", "rehearsal")
    about = ray_ft.inspect(config)
    assert about.examples["rehearsal"] == {"train": 2 * len(kept)}
    assert about.leaks == ()


def test_nothing_is_asked_twice_and_the_set_is_the_same(
    config: Config, made: TrainingSet, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ray_ft"):
        again = ray_ft.prepare(config, force=True)
    assert again.data_digest == made.data_digest
    assert not [line for line in caplog.messages if line.startswith("the engine answered")]
    assert [line for line in caplog.messages if line.startswith(f"rehearsal: {NUM_EXAMPLES} answers of the base")]


def test_more_prompts_ask_for_what_is_new_alone(config: Config, made: TrainingSet, tmp_path: Path) -> None:
    folder = Path(config.run_path) / "answers"
    more = parse_config(
        {"run_name": "more", "output_dir": str(tmp_path / "outputs"),
         "model": {"name": config.model.name, "max_seq_len": 192, "system_prompt": "Be brief."},
         "data": {"sources": list(config.data.sources), "recipes": ["paragraph"], "validation_fraction": 0,
                  "test_fraction": 0, "answers_path": str(folder),
                  "rehearsal": {"num_examples": NUM_EXAMPLES + 3, "max_new_tokens": 8, "temperature": 1.5}}}
    )  # fmt: skip
    before = {path: path.stat().st_size for path in folder.glob("*.log")}
    found = ray_ft.prepare(more)
    assert len(_rows(found)) == NUM_EXAMPLES + 3
    assert all(path.stat().st_size == size for path, size in before.items())
    old = {row["prompt"]: row["completion"] for row in _rows(made)}
    new = {row["prompt"]: row["completion"] for row in _rows(found)}
    assert {prompt: new[prompt] for prompt in old} == old


def test_another_rehearsal_is_another_set(config: Config, made: TrainingSet) -> None:
    root = Path(config.output_dir).parent
    with pytest.raises(ConfigError, match=r"data\.rehearsal\.num_examples"):
        ray_ft.prepare(_config(root, config.model.name, "data.rehearsal.num_examples=3"))
    answers = config.run_path / "data.work" / "rehearsal" / "answers.jsonl"
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert {"prompt", "completion", "is_cut", "dropped"} == lines[0].keys()
