"""A GGUF file becomes a folder that every stage reads, with the tensors that were in it, or one line says why not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.fetched.cache import kept_once, provenance_of, write_provenance
from ray_ft.models.folder import resolve_model
from ray_ft.models.shape import load_model_shape
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.models.weights import load_weights

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def permuted(weight: Any, num_heads: int) -> Any:
    """Rows of queries and keys in the order in which llama.cpp rotates them."""
    return weight.reshape(num_heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, model_path: str, *, kind: str = "F32", **header: Any) -> Path:
    """The tiny model as llama.cpp would write it; `header` overrides, and None leaves out."""
    import json

    import gguf

    config = json.loads((Path(model_path) / "config.json").read_text())
    tokenizer = json.loads((Path(model_path) / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(path, header.get("architecture", "llama"))
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config["vocab_size"])
    if "parts" in header:
        writer.add_uint16("split.count", header["parts"])
    if header.get("tokenizer", "gpt2"):
        vocab = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
        special = {token["content"] for token in tokenizer["added_tokens"]}
        writer.add_tokenizer_model(header.get("tokenizer", "gpt2"))
        writer.add_token_list([token for token, _ in vocab])
        writer.add_token_types([3 if token in special else 1 for token, _ in vocab])
        writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(3)
        writer.add_pad_token_id(0)
        writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, weight in load_weights(model_path, dtype="float32").state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        values = weight.numpy()
        part = name.split(".")[-2]
        values = permuted(values, heads[part]) if part in heads else values
        ours = names.get_name(name, try_suffixes=(".weight",))
        if kind != "F32" and values.ndim == 2:
            quantised = getattr(gguf.GGMLQuantizationType, kind)
            writer.add_tensor(ours, gguf.quantize(values, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(ours, np.ascontiguousarray(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_FT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(("kind", "off"), [("F32", 0.004), ("Q4_1", 0.05)])
def test_a_gguf_file_becomes_a_folder_with_its_tensors(
    kind: str, off: float, tiny_model_path: str, tmp_path: Path, cache: Path
) -> None:
    """bf16 keeps 8 bits, so 0.4% of a value; Q4_1 has 16 steps in a block of 32: a 15th of its span at the most."""
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model_path, kind=kind)
    assert load_model_shape(str(file)).num_parameters == load_model_shape(tiny_model_path).num_parameters
    folder = resolve_model(str(file), output_dir=tmp_path)
    assert Path(folder).parent == cache
    made, source = (load_weights(p, dtype="float32").state_dict() for p in (folder, tiny_model_path))
    assert made.keys() == source.keys()
    for name, weight in source.items():
        assert float((made[name] - weight).abs().max()) <= off * float(weight.abs().max()) * (1 if kind == "F32" else 4)
    ours, theirs = load_tokenizer(folder), load_tokenizer(tiny_model_path)
    for text in ("The ferry leaves at 6:10.", "  two  spaces\n", "Käse 12,5 €"):
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, add_special_tokens=False)
    assert ours.chat_template == TEMPLATE
    assert ours.eos_token == "<|im_end|>"
    assert provenance_of(folder)["weights"] == f"dequantised from {kind}"
    assert resolve_model(str(file), output_dir=tmp_path) == folder


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"architecture": "grok"}, "is of architecture 'grok', which transformers does not read from GGUF; it reads "),
        ({"parts": 3}, "is one of 3 parts; join them first, by `llama-gguf-split --merge"),
        ({"tokenizer": ""}, "has no tokenizer: give the model's folder in Hugging Face format"),
        ({"tokenizer": "bert"}, "has a tokenizer of kind 'bert', and only gpt2 and llama can be read"),
    ],
)
def test_a_gguf_file_that_cannot_be_read_gets_one_line(
    header: dict[str, Any], says: str, tiny_model_path: str, tmp_path: Path, cache: Path
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model_path, **header)
    for call in (lambda: load_model_shape(str(file)), lambda: resolve_model(str(file), output_dir=tmp_path)):
        with pytest.raises(ModelError) as caught:
            call()
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not cache.exists()


def test_half_a_gguf_file_and_none_get_one_line(tiny_model_path: str, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"^model\.name: no such file .*nowhere\.gguf$"):
        load_model_shape(str(tmp_path / "nowhere.gguf"))
    file = write_gguf(tmp_path / "tiny.gguf", tiny_model_path)
    file.write_bytes(file.read_bytes()[:200_000])
    with pytest.raises(ModelError, match=r"is no whole GGUF file: "):
        load_model_shape(str(file))


def test_what_is_killed_while_it_is_made_leaves_nothing_that_looks_whole(cache: Path) -> None:
    class Killed(BaseException):
        pass

    def die(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        shutil.copytree(folder, folder.with_name(".base-left.partial"))  # as SIGKILL leaves it
        raise Killed

    with pytest.raises(Killed):
        kept_once("base", die)
    assert not (cache / "base").exists()

    def make(folder: Path) -> None:
        write_provenance(folder, {"source": "here"})

    assert kept_once("base", make) == cache / "base"
    assert sorted(p.name for p in cache.iterdir()) == [".base.lock", "base"]
    assert kept_once("base", die) == cache / "base"  # made once


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"^cannot write to .*cache: .*; RAY_FT_CACHE names another folder$"):
        kept_once("base", lambda folder: None)
