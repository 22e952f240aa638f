"""A base's tokenizer is loaded, or refused with one line."""

import shutil
from pathlib import Path

import pytest

from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.builtin import BUILTIN_CONFIGS
from ray_ft.models.tokenizer import load_tokenizer


def test_a_folder_without_a_tokenizer_is_told_from_one_that_cannot_be_read(
    tiny_model_path: str, tmp_path: Path
) -> None:
    shutil.copy(Path(tiny_model_path) / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"the folder has no tokenizer\.json, nor the file of another tokenizer$"):
        load_tokenizer(tmp_path)


def test_the_builtin_tokenizer_fills_its_vocabulary_and_round_trips_any_text(tiny_model_path: str) -> None:
    tokenizer = load_tokenizer(tiny_model_path)
    assert len(tokenizer) == BUILTIN_CONFIGS["tiny"]["vocab_size"]
    text = "def f(x):\n\treturn 'Ünïcode — 漢字 🎈'\n"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_chat_template_that_cannot_be_read_names_its_key(tiny_model_path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.chat_template: cannot read .*none\.jinja"):
        load_tokenizer(tiny_model_path, str(tmp_path / "none.jinja"))
