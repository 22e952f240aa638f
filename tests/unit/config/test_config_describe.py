"""Keys are described by what stands beside them."""

import dataclasses
import typing

import pytest

from ray_ft.config import (
    Config,
    DataConfig,
    DatasetConfig,
    ModelConfig,
    RehearsalConfig,
    TrainConfig,
    field_docs,
    section_list_of,
    section_of,
    slot_of,
    type_name,
)
from ray_ft.recipes import RECIPES
from ray_ft.strategies import STRATEGIES, QLoRA

SECTIONS = [h for h in typing.get_type_hints(Config).values() if isinstance(h, type) and h.__name__.endswith("Config")]


@pytest.mark.parametrize("cls", [*SECTIONS, DatasetConfig, RehearsalConfig])
def test_every_key_of_a_section_has_its_line(cls: type) -> None:
    assert list(field_docs(cls)) == [f.name for f in dataclasses.fields(cls)]


def test_a_choice_takes_the_lines_of_the_keys_that_it_inherits() -> None:
    docs = field_docs(QLoRA)
    assert docs.keys() >= {"r", "bits"}  # LoRA's, and its own
    assert all(docs.values())


def test_a_slot_is_told_by_its_registry_and_a_list_of_sections_by_its_class() -> None:
    train, data = typing.get_type_hints(TrainConfig), typing.get_type_hints(DataConfig)
    assert slot_of(train["strategy"]) == (STRATEGIES, False)
    assert slot_of(data["recipes"]) == (RECIPES, True)
    assert slot_of(data["datasets"]) is None
    assert section_list_of(data["datasets"]) is DatasetConfig
    assert section_list_of(data["recipes"]) is None
    assert section_of(data["rehearsal"]) is RehearsalConfig
    assert section_of(typing.get_type_hints(Config)["model"]) is ModelConfig
    assert not any(section_of(data[name]) for name in ("datasets", "generator", "sources", "answers_path"))


def test_a_type_is_named_as_a_user_reads_it() -> None:
    assert type_name(int | None) == "int | null"
    assert type_name(typing.Literal["a", "b"]) == "one of a, b"
    assert type_name(tuple[str, ...]) == "list of str"
    assert type_name(dict[str, str]) == "mapping of str to str"
