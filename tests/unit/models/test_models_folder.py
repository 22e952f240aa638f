"""Bases are found or refused with one line, and told apart."""

import shutil
from pathlib import Path

import pytest

from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.folder import base_digest, resolve_model
from ray_ft.models.tokenizer import tokenizer_digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("builtin:huge", "no such builtin model 'builtin:huge'; choose one of builtin:tiny"),
        ("./nowhere", "no such folder ./nowhere"),
        ("nobody/no-such-model", "no folder here, not in the local cache, and the hub cannot be reached"),
    ],
)
def test_a_model_that_does_not_exist_gets_one_line(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(name, output_dir=tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"without config\.json"):
        resolve_model(str(tmp_path), output_dir=tmp_path)


def test_an_output_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "builtin").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"^output_dir: cannot write to .*builtin: File exists$"):
        resolve_model("builtin:tiny", output_dir=tmp_path)


def test_a_local_folder_resolves_to_itself(tiny_model_path: str, tmp_path: Path) -> None:
    assert resolve_model(tiny_model_path, output_dir=tmp_path) == tiny_model_path


def test_the_digest_sees_changed_weights_but_not_a_copy(tiny_model_path: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model_path, copy)
    assert base_digest(copy) == base_digest(tiny_model_path)
    assert tokenizer_digest(copy) == tokenizer_digest(tiny_model_path)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert base_digest(copy) != base_digest(tiny_model_path)
