"""Tokens of one's own: a base with their rows, found by everything after it; and an adapter that trains them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.added_tokens import added_token_ids, with_added_tokens
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import load_tokenizer, tokenizer_digest

TOKENS = ["<ticket>", "gearboxd"]


@pytest.fixture(scope="module")
def extended(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return with_added_tokens(tiny_model_path, TOKENS, output_dir=tmp_path_factory.mktemp("outputs"))


def weights(path: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(Path(path) / "model.safetensors")


def test_without_tokens_the_base_stays_where_it_is(tiny_model_path: str, tmp_path: Path) -> None:
    assert with_added_tokens(tiny_model_path, (), output_dir=tmp_path) == tiny_model_path
    assert added_token_ids(tiny_model_path) == ()


def test_each_token_is_one_id_inside_a_text_and_comes_back_from_it(extended: str) -> None:
    tokenizer: Any = load_tokenizer(extended)
    ids = tokenizer.encode("see <ticket> of gearboxd now", add_special_tokens=False)
    assert added_token_ids(extended) == (4096, 4097)
    assert [i for i in ids if i >= 4096] == [4096, 4097]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "see <ticket> of gearboxd now"


def test_a_new_row_is_the_mean_of_the_rows_of_its_old_pieces(extended: str, tiny_model_path: str) -> None:
    import torch

    old: Any = load_tokenizer(tiny_model_path)
    before, after = (weights(path)["model.embed_tokens.weight"] for path in (tiny_model_path, extended))
    assert after.shape == (4098, 128)
    assert torch.equal(after[:4096], before)
    for i, token in zip((4096, 4097), TOKENS, strict=True):
        pieces = old.encode(token, add_special_tokens=False)
        assert len(pieces) > 1
        torch.testing.assert_close(after[i], before[pieces].mean(dim=0))


def test_the_base_is_left_alone_and_the_copy_is_another_base(extended: str, tiny_model_path: str) -> None:
    assert json.loads((Path(tiny_model_path) / "config.json").read_text())["vocab_size"] == 4096
    assert base_digest(extended) != base_digest(tiny_model_path)
    assert tokenizer_digest(extended) != tokenizer_digest(tiny_model_path)
    assert not (Path(extended) / "tokenizer.json").is_symlink()


def test_preparing_needs_no_weights_and_gives_the_same_ids(extended: str, tiny_model_path: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model_path, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    path = with_added_tokens(str(bare), TOKENS, output_dir=tmp_path, tokenizer_only=True)
    assert tokenizer_digest(path) == tokenizer_digest(extended)
    assert with_added_tokens(str(bare), TOKENS, output_dir=tmp_path, tokenizer_only=True) == path


def test_spare_rows_are_taken_before_new_ones_are_made(tiny_model_path: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    padded = tmp_path / "padded"
    shutil.copytree(tiny_model_path, padded)
    state = weights(tiny_model_path)
    matrix = state["model.embed_tokens.weight"]
    state["model.embed_tokens.weight"] = torch.cat([matrix, matrix.new_zeros(64, 128)])
    save_file(state, padded / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((padded / "config.json").read_text())
    (padded / "config.json").write_text(json.dumps({**config, "vocab_size": 4160}))
    path = with_added_tokens(str(padded), TOKENS, output_dir=tmp_path)
    assert json.loads((Path(path) / "config.json").read_text())["vocab_size"] == 4160
    assert weights(path)["model.embed_tokens.weight"].shape == (4160, 128)
    assert float(weights(path)["model.embed_tokens.weight"][4097].abs().sum()) > 0


def test_only_files_with_embedding_or_head_are_written_again(tiny_model_path: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    sharded = tmp_path / "sharded"
    shutil.copytree(tiny_model_path, sharded, ignore=shutil.ignore_patterns("*.safetensors"))
    state = weights(tiny_model_path)
    parts = {"a": {}, "b": {}}  # type: dict[str, dict[str, Any]]
    for name, value in state.items():
        parts["a" if "embed" in name else "b"][name] = value
    places = {name: f"{part}.safetensors" for part, held in parts.items() for name in held}
    for part, held in parts.items():
        save_file(held, sharded / f"{part}.safetensors", metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(v.nbytes for v in state.values())}, "weight_map": places}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))

    path = Path(with_added_tokens(str(sharded), TOKENS, output_dir=tmp_path))
    assert (path / "b.safetensors").is_symlink()
    assert not (path / "a.safetensors").is_symlink()
    made = json.loads((path / "model.safetensors.index.json").read_text())
    assert made["metadata"]["total_size"] == index["metadata"]["total_size"] + 2 * 128 * 4

    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path)
    assert model.get_input_embeddings().weight.shape == (4098, 128)


@pytest.mark.parametrize(
    ("tokens", "error", "says"),
    [
        (["the"], ConfigError, "'the' is in the tokenizer's vocabulary already"),
        (["<|im_end|>"], ConfigError, "in the tokenizer's vocabulary already"),
    ],
)
def test_a_token_that_is_there_already_is_named(
    tokens: list[str], error: type[Exception], says: str, tiny_model_path: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        with_added_tokens(tiny_model_path, tokens, output_dir=tmp_path)
    assert list((tmp_path / "added_tokens").iterdir()) == []


def test_a_base_without_safetensors_is_refused(tiny_model_path: str, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_model_path, pickled, ignore=shutil.ignore_patterns("*.safetensors"))
    (pickled / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="has no safetensors"):
        with_added_tokens(str(pickled), TOKENS, output_dir=tmp_path)
