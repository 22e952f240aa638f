"""Shapes and parameter counts from config.json, and the one line for a model that cannot be planned."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ray_ft.errors import ModelError
from ray_ft.models.builtin import BUILTIN_CONFIGS
from ray_ft.models.catalogue import KNOWN_MODELS
from ray_ft.models.shape import load_model_shape, shape_from_config

# As the models' publishers and `model.num_parameters()` count them.
PARAMETERS = {
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-2-13b-hf": 13_015_864_320,
    "meta-llama/Llama-2-70b-hf": 68_976_648_192,
    "codellama/CodeLlama-7b-hf": 6_738_546_688,
    "meta-llama/Meta-Llama-3-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-14B": 14_770_033_664,
    "Qwen/Qwen2.5-32B": 32_763_876_352,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/phi-4": 14_659_507_200,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-7b": 8_537_680_896,
}

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
}


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_known_models_have_their_published_number_of_parameters(name: str) -> None:
    assert load_model_shape(name).num_parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_every_known_model_has_a_shape_and_says_where_it_is_from(name: str) -> None:
    shape = load_model_shape(name)
    assert shape.source == "catalogue"
    assert shape.num_heads % shape.num_kv_heads == 0


def test_parameters_are_counted_part_by_part() -> None:
    # embedding and head 2 * 10*8 = 160; q and o 2 * 8*8, k and v 2 * 8*4 = 192; MLP 3 * 8*16 = 384;
    # norms 2*8, final norm 8 = 24.
    assert shape_from_config(LLAMA, "x").num_parameters == 160 + 192 + 384 + 24


def test_a_tied_head_is_counted_once() -> None:
    assert shape_from_config(LLAMA | {"tie_word_embeddings": True}, "x").num_parameters == 760 - 80


def test_biases_and_query_key_norms_are_counted() -> None:
    # Llama's attention_bias: q 8, k 4, v 4, o 8; mlp_bias: gate 16, up 16, down 8.
    with_bias = shape_from_config(LLAMA | {"attention_bias": True, "mlp_bias": True}, "x")
    assert with_bias.num_parameters == 760 + 24 + 40
    # qwen2 has no bias on o; qwen3 has norms of one head's width (4) on q and k.
    assert shape_from_config(LLAMA | {"model_type": "qwen2"}, "x").num_parameters == 760 + 16
    qwen3 = shape_from_config(LLAMA | {"model_type": "qwen3", "head_dim": 4}, "x")
    assert qwen3.num_parameters == 760 + 8


@pytest.mark.parametrize("name", BUILTIN_CONFIGS)
def test_builtin_models_match_what_transformers_builds(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = {k: v for k, v in BUILTIN_CONFIGS[name].items() if k != "architectures"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    assert load_model_shape(f"builtin:{name}").num_parameters == model.num_parameters()


def test_a_local_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    shape = load_model_shape(str(tmp_path))
    assert (shape.source, shape.key_size) == ("folder", 4)


@pytest.mark.parametrize("revision", [None, "v2", "0123abcd"])
def test_the_local_cache_wins_over_the_catalogue(tmp_path: Path, revision: str | None) -> None:
    model = tmp_path / "hub" / "models--Qwen--Qwen3-8B"
    (model / "refs").mkdir(parents=True)
    for branch in ("main", "v2"):
        (model / "refs" / branch).write_text("0123abcd")
    (model / "snapshots" / "0123abcd").mkdir(parents=True)
    (model / "snapshots" / "0123abcd" / "config.json").write_text(json.dumps(LLAMA))
    shape = load_model_shape("Qwen/Qwen3-8B", revision=revision)
    assert (shape.source, shape.num_parameters) == ("cache", 760)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "has no 'hidden_size'"),
        ({"vocab_size": "many"}, "vocab_size is 'many'; it must be a whole number above 0"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"model_type": None}, "has no 'model_type'"),
        ({"model_type": "mamba"}, "not supported .'mamba'.; this works for gemma, llama"),
        ({"model_type": "mixtral", "num_local_experts": 8}, "a mixture of experts .'mixtral'."),
    ],
)
def test_a_config_that_cannot_be_planned_gets_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        shape_from_config(LLAMA | change, "acme/model")
    assert "acme/model" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("builtin:huge", "no such builtin model 'builtin:huge'; choose one of builtin:tiny"),
        ("./nowhere", "no such folder './nowhere'"),
        ("/a/b/c", "no such folder '/a/b/c'"),
        ("acme/handbook-llm", "cannot reach the hub for acme/handbook-llm.*`hf download acme/handbook-llm`"),
    ],
)
def test_a_model_that_is_not_there_gets_one_line(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        load_model_shape(name)  # the tests run with HF_HUB_OFFLINE=1
    assert "\n" not in str(raised.value)


def test_a_folder_without_or_with_a_broken_config_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_model_shape(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot read"):
        load_model_shape(str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="holds no mapping"):
        load_model_shape(str(tmp_path))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepoError", r"acme/secret is gated; accept its licence on huggingface\.co and run `hf auth login`"),
        ("RepositoryNotFoundError", r"no model 'acme/secret' on the hub \(or it is private: run `hf auth login`\)"),
        ("RemoteEntryNotFoundError", r"acme/secret has no config\.json on the hub"),
    ],
)
def test_what_the_hub_refuses_gets_one_line(monkeypatch: pytest.MonkeyPatch, error: str, message: str) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*_: object, **__: object) -> None:
        raise getattr(errors, error)(error, response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr("ray_ft.models.config_json.reach_hub", lambda: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(ModelError, match=message) as raised:
        load_model_shape("acme/secret")
    assert "\n" not in str(raised.value)
