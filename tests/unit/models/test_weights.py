"""A base that lacks weights, has others, or holds no numbers is refused by name, by whatever reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ray_ft.engines import ENGINES
from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.errors import ModelError
from ray_ft.models.quantised import refuse_foreign_quantisation
from ray_ft.models.shape import shape_from_config
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.models.weights import check_base
from ray_ft.strategies import Full, QLoRA

pytestmark = pytest.mark.filterwarnings("ignore")

QUERY = "model.layers.0.self_attn.q_proj.weight"
GATE = "model.layers.1.mlp.gate_proj.weight"
Weights = dict[str, Any]


def changed(base: str, folder: Path, change: Callable[[Weights], Weights], **config: Any) -> str:
    """A copy of the base with other weights and with other keys in config.json."""
    from safetensors.torch import load_file, save_file

    copy = folder / "base"
    shutil.copytree(base, copy)
    save_file(change(load_file(copy / "model.safetensors")), copy / "model.safetensors", metadata={"format": "pt"})
    values = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**values, **config}))
    return str(copy)


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: value for key, value in weights.items() if key != name}


def filled(name: str, number: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights[name][3, 5] = number
        return weights

    return change


def same(weights: Weights) -> Weights:
    return weights


def prefixed(weights: Weights) -> Weights:
    return {f"transformer.{key}": value for key, value in weights.items()}


def with_another(weights: Weights) -> Weights:
    return {**weights, "model.layers.0.self_attn.q_proj.bias": weights[QUERY][0].clone()}


def packed(weights: Weights) -> Weights:
    """As GPTQ has it: a layer's weight in three tensors."""
    import torch

    name = QUERY.removesuffix(".weight")
    ints = {f"{name}.{part}": torch.zeros(4, 4, dtype=torch.int32) for part in ("qweight", "qzeros", "g_idx")}
    return {**without(QUERY)(weights), **ints}


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
HARMS = {
    "a weight is missing": (without(QUERY), {}, rf"base: 1 of 38 weights are not in its files \({QUERY}\);"),
    "keys have another prefix": (
        prefixed, {}, r"38 of 38 weights are not in its files \(model\..*, which hold 38 .*\(transformer\.model\."
    ),
    "there is another weight": (with_another, {}, r"its files hold 1 that the model has no place for .*q_proj\.bias"),
    "shapes are others": (same, {"intermediate_size": 392}, r"12 weights .*mlp\.down_proj\.weight, \[128, 384\] inst"),
    "quantised by GPTQ": (packed, {"quantization_config": GPTQ}, r"is quantised by gptq.* name the unquantised one"),
    "quantised by another": (same, {"quantization_config": {"quant_method": "fp8"}}, r"is quantised by fp8"),
}  # fmt: skip


def merge(path: str) -> None:
    """As export does it, in which the adapter is no part."""
    from ray_ft.models.weights import load_weights

    load_weights(path, dtype="auto")


def train(path: str) -> None:
    import torch

    Full().load_model(path, dtype=torch.float32, device=torch.device("cpu"), seed=0)


def train_in_few_bits(path: str) -> None:
    import torch

    QLoRA(r=4).load_model(path, dtype=torch.bfloat16, device=torch.device("cpu"), seed=0)


def answer(path: str) -> None:
    load_base(path, dtype="auto", quantization="none")


def answer_in_few_bits(path: str) -> None:
    load_base(path, dtype="auto", quantization="nf4")


def before_serving(path: str) -> None:
    ENGINES["transformers"]().check(path, {})


READERS = (check_base, before_serving, train, train_in_few_bits, answer, answer_in_few_bits, merge)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("harm", HARMS)
def test_what_is_not_the_model_is_refused_by_name(
    harm: str, reader: Callable[[str], None], tiny_model_path: str, tmp_path: Path
) -> None:
    change, config, says = HARMS[harm]
    with pytest.raises(ModelError, match=says) as raised:
        reader(changed(tiny_model_path, tmp_path, change, **config))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("reader", [train, train_in_few_bits, answer, answer_in_few_bits, merge])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(
    number: float, reader: Callable[[str], None], tiny_model_path: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=rf"base: 1 weights hold NaN or infinite numbers \({GATE}\)"):
        reader(changed(tiny_model_path, tmp_path, filled(GATE, number)))


def test_a_weight_that_half_precision_cannot_hold_says_so(tiny_model_path: str, tmp_path: Path) -> None:
    base = changed(tiny_model_path, tmp_path, filled(GATE, 70000.0))
    load_base(base, dtype="bfloat16", quantization="none")
    with pytest.raises(ModelError, match=r"in fp16, which ends at 65504"):
        load_base(base, dtype="float16", quantization="none")


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(tiny_model_path: str, tmp_path: Path) -> None:
    base = changed(tiny_model_path, tmp_path, same)
    tokenizer: Any = load_tokenizer(base)
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(base)
    with pytest.raises(ModelError, match=r"embedding has 4096 rows, and the tokenizer 2 tokens .*\(<one>, <two>\)"):
        check_base(base)


def test_a_file_that_the_index_names_must_be_there(tiny_model_path: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = changed(tiny_model_path, tmp_path, same)
    (Path(base) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"base: no weights; there is neither model\.safetensors nor"):
        check_base(base)
    AutoModelForCausalLM.from_pretrained(tiny_model_path).save_pretrained(base, max_shard_size="1MB")
    check_base(base)
    sorted(Path(base).glob("*.safetensors"))[1].unlink()
    with pytest.raises(ModelError, match=r"base: 1 of its \d files of weights are not there \(model-00002-of-"):
        check_base(base)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_base_that_bitsandbytes_quantised_is_a_base(bits: Any, tiny_model_path: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    how = QLoRA(bits=bits).quantization(torch.float32)
    AutoModelForCausalLM.from_pretrained(tiny_model_path, quantization_config=how).save_pretrained(tmp_path)
    load_tokenizer(tiny_model_path).save_pretrained(tmp_path)
    check_base(tmp_path)
    answer(str(tmp_path))


KINDS: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 4}, "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 32}, "phi3": {},
    "gemma3_text": {}, "gpt_oss": {"num_local_experts": 4},
    "deepseek_v3": {"first_k_dense_replace": 1, "n_routed_experts": 4, "n_group": 2, "topk_group": 1,
                    "moe_intermediate_size": 32, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
                    "qk_nope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_transformers_changes_while_loading_are_known(
    kind: str, tiny_model_path: str, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    small = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 4096, "pad_token_id": 0}  # fmt: skip
    config = AutoConfig.for_model(kind, **{**small, **KINDS[kind]})
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    load_tokenizer(tiny_model_path).save_pretrained(tmp_path)
    check_base(tmp_path)


def test_a_plan_refuses_foreign_bits_where_config_json_tells_of_them() -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "awq"}}
    with pytest.raises(ModelError, match=r"acme/model is quantised by awq"):
        shape_from_config(config, "acme/model")
    refuse_foreign_quantisation({"quantization_config": {"quant_method": "bitsandbytes"}}, "acme/model")
