"""The front door of the configuration: what is accepted, and the one line for what is not."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_ft.config import DatasetConfig, RehearsalConfig, load_config, parse_config, to_plain
from ray_ft.errors import ConfigError
from ray_ft.strategies import LoRA, QLoRA

MINIMAL: dict[str, Any] = {
    "run_name": "handbook",
    "model": {"name": "builtin:tiny"},
    "data": {"sources": ["docs"], "recipes": ["paragraph"]},
}


def test_defaults_fill_what_a_minimal_config_leaves_out() -> None:
    config = parse_config(MINIMAL)
    assert config.train.num_epochs == 3.0
    assert config.engine.name == "auto"


def test_a_slot_takes_its_class_from_the_registry_and_that_class_brings_its_keys() -> None:
    config = parse_config(MINIMAL | {"train": {"strategy": {"name": "qlora", "r": 4}}})
    assert config.train.strategy == QLoRA(r=4)


def test_a_bare_word_is_short_for_a_slot_with_that_name() -> None:
    assert parse_config(MINIMAL, ["train.strategy=lora"]).train.strategy == LoRA()


def test_an_override_that_picks_another_choice_drops_the_keys_of_the_old_one() -> None:
    raw = MINIMAL | {"train": {"num_epochs": 2, "strategy": {"name": "qlora", "r": 4, "bits": 8}}}
    config = parse_config(raw, ["train.strategy.name=lora"])
    assert config.train.strategy == LoRA()
    assert config.train.num_epochs == 2
    assert parse_config(raw, ["train.strategy.r=8"]).train.strategy == QLoRA(r=8, bits=8)


def test_overrides_win_over_the_file() -> None:
    assert parse_config(MINIMAL, ["train.num_epochs=1", "run_name=b"]).train.num_epochs == 1.0


def test_the_plain_form_loads_back_to_an_equal_config() -> None:
    datasets = {"data": {"datasets": ["a.jsonl", {"path": "b", "weight": 2, "split": "train"}]}}
    for raw in (MINIMAL, MINIMAL | datasets):
        config = parse_config(raw, ["train.strategy=lora", "serving.adapters.a=/x"])
        assert parse_config(yaml.safe_load(yaml.safe_dump(to_plain(config)))) == config


def test_datasets_stand_in_for_sources_and_recipes_and_a_path_alone_names_one() -> None:
    data = parse_config(MINIMAL | {"data": {"datasets": ["a.jsonl", {"path": "b", "weight": 2}]}}).data
    assert data.datasets == (DatasetConfig("a.jsonl"), DatasetConfig("b", weight=2.0))
    assert (data.sources, data.recipes) == ((), ())


def test_a_section_that_may_be_null_is_so_unless_it_is_given() -> None:
    assert parse_config(MINIMAL).data.rehearsal is None
    assert parse_config(MINIMAL, ["data.rehearsal=null"]).data.rehearsal is None
    assert parse_config(MINIMAL, ["data.rehearsal.num_examples=9"]).data.rehearsal == RehearsalConfig(num_examples=9)
    given = MINIMAL | {"data": MINIMAL["data"] | {"rehearsal": {}}}
    assert parse_config(given).data.rehearsal == RehearsalConfig()
    assert parse_config(given, ["data.rehearsal=null"]).data.rehearsal is None
    config = parse_config(given, ["data.rehearsal.weight=2"])
    assert parse_config(to_plain(config)) == config


def test_a_loaded_config_is_frozen_all_the_way_down() -> None:
    config = parse_config(MINIMAL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.train.num_epochs = 2.0  # type: ignore[misc]
    assert isinstance(config.data.sources, tuple)
    assert isinstance(config.data.recipes, tuple)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_nam": "x"}, "run_nam: no such key. Did you mean 'run_name'?"),
        ({"trian": {"num_epochs": 1}}, "trian: no such key. Did you mean 'train'?"),
        ({"learning_rate": 1}, "learning_rate: no such key. Did you mean train.learning_rate?"),
        ({"train": {"lerning_rate": 1}}, "train.lerning_rate: no such key. Did you mean 'learning_rate'?"),
        (
            {"train": {"strategy": {"name": "lora", "rank": 4}}},
            "train.strategy.rank: no such key. train.strategy takes",
        ),
        ({"train": {"strategy": {"name": "dora"}}}, "train.strategy.name: no such strategy 'dora'; choose one of full"),
        ({"train": {"num_epochs": "three"}}, "train.num_epochs: Value 'three' of type 'str' could not be converted"),
        ({"train": {"lr_scheduler": "cosin"}}, "train.lr_scheduler: Invalid value 'cosin', expected one of"),
        ({"train": 3}, "train: expected a mapping of keys, got 3"),
        ({"data": {"datasets": [{"weight": 2}]}}, "data.datasets.0.path is required: JSONL (also"),
        ({"data": {"datasets": "a.jsonl"}}, "data.datasets: expected a list, e.g. [{path: ...}], got 'a.jsonl'"),
        (
            {"data": {"datasets": [{"path": "a.jsonl", "wieght": 2}]}},
            "data.datasets.0.wieght: no such key. Did you mean 'weight'?",
        ),
        ({"data": {"sources": ["a"], "rehearsal": 400}}, "data.rehearsal: expected a mapping of keys, got 400"),
        (
            {"data": {"sources": ["a"], "rehearsal": {"num_exmples": 2}}},
            "data.rehearsal.num_exmples: no such key. Did you mean 'num_examples'?",
        ),
        ({"model": {}}, "model.name is required: Hugging Face hub id, local folder"),
    ],
)
def test_a_bad_key_or_type_gets_one_line_that_names_key_and_remedy(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(MINIMAL | change, source="handbook.yaml")
    assert str(caught.value).startswith("handbook.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "not valid YAML"), ("- a\n- b\n", "a configuration is a mapping"), ("", "run_name is required")],
)
def test_a_broken_file_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_an_override_without_an_equals_sign_is_explained() -> None:
    with pytest.raises(ConfigError, match="write key=value"):
        parse_config(MINIMAL, ["train.num_epochs"])


def test_the_stratum_own_is_understood_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_config({**MINIMAL, "sweep": {"stratum": "own"}}).sweep.stratum == "user"
    assert [record.getMessage() for record in caplog.records] == ["config: sweep.stratum: own is called user now"]


def test_one_value_where_a_list_belongs_is_told_in_the_words_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^config: data\.sources: 'docs' must be a list, such as \[docs\]$"):
        parse_config(MINIMAL, ["data.sources=docs"])


def test_a_language_is_named_by_its_code() -> None:
    """The name of one is the code of no document: all that are in a known language would be left out."""
    assert parse_config(MINIMAL, ["data.languages=[en,haw]"]).data.languages == ("en", "haw")
    with pytest.raises(ConfigError, match=r"data\.languages: 'english' must be a code of ISO 639, such as en"):
        parse_config(MINIMAL, ["data.languages=[english]"])
