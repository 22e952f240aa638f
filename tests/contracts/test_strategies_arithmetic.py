"""Every strategy's arithmetic: promises that all keep, and numbers worked out by hand for Llama-2-7B."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from ray_ft.errors import ConfigError
from ray_ft.models.shape import load_model_shape
from ray_ft.strategies import STRATEGIES, Full, LoRA, QLoRA, Strategy

LLAMA_7B = load_model_shape("meta-llama/Llama-2-7b-hf", revision=None)
# Decoder linears: 32 * (4 * 4096*4096 + 3 * 4096*11008); the rest: 2 * 32000*4096 embeddings and 65 norms of 4096.
LINEARS = 6_476_005_376
OTHERS = 262_410_240
SHAPES = ["meta-llama/Llama-2-7b-hf", "Qwen/Qwen3-8B", "microsoft/Phi-3-mini-4k-instruct", "google/gemma-2b"]


@pytest.mark.parametrize("model", SHAPES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_answers_in_whole_positive_numbers(name: str, model: str) -> None:
    strategy, shape = STRATEGIES[name](), load_model_shape(model)
    assert 0 < strategy.trainable_parameters(shape) <= shape.num_parameters
    assert strategy.weight_bytes(shape) > 0
    assert strategy.saved_bytes_per_token(shape) > 0
    assert set(strategy.trained_linears(shape)) <= set(shape.linears)
    assert 0 <= strategy.dequantised_parameters(shape) <= shape.num_parameters


@pytest.mark.parametrize("model", SHAPES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_wider_numbers_weigh_and_keep_more(name: str, model: str) -> None:
    strategy, shape = STRATEGIES[name](), load_model_shape(model)
    assert strategy.weight_bytes(shape, compute_bytes=4) > strategy.weight_bytes(shape, compute_bytes=2)
    wide = strategy.saved_bytes_per_token(shape, compute_bytes=4)
    assert wide > strategy.saved_bytes_per_token(shape, compute_bytes=2)


@pytest.mark.parametrize("name", STRATEGIES)
def test_stage_and_offload_do_not_change_what_trains(name: str) -> None:
    strategy = STRATEGIES[name]()
    sharded = dataclasses.replace(strategy, zero_stage=3, offload="all")
    assert sharded.trainable_parameters(LLAMA_7B) == strategy.trainable_parameters(LLAMA_7B)
    assert sharded.weight_bytes(LLAMA_7B) == strategy.weight_bytes(LLAMA_7B)


def test_full_trains_and_holds_every_weight_in_two_bytes() -> None:
    assert Full().trainable_parameters(LLAMA_7B) == LINEARS + OTHERS == 6_738_415_616
    assert Full().weight_bytes(LLAMA_7B) == 2 * 6_738_415_616


def test_lora_has_rank_times_inputs_and_outputs() -> None:
    # q, k, v, o: 4 * (4096 + 4096); gate, up, down: 3 * (4096 + 11008); 78,080 in all, times r = 16 and 32 layers.
    assert LoRA(r=16).trainable_parameters(LLAMA_7B) == 39_976_960
    # q and v alone at r = 8: 2 * 8192 * 8 * 32.
    assert LoRA(r=8, target_modules=("q_proj", "v_proj")).trainable_parameters(LLAMA_7B) == 4_194_304
    # The head too: 8 * (4096 + 32000).
    with_head = LoRA(r=8, target_modules=("q_proj", "v_proj", "lm_head"))
    assert with_head.trainable_parameters(LLAMA_7B) == 4_194_304 + 288_768


def test_lora_weighs_the_base_and_its_adapters() -> None:
    assert LoRA(r=16).weight_bytes(LLAMA_7B) == 2 * (6_738_415_616 + 39_976_960)


@pytest.mark.parametrize(
    ("strategy", "quantised"),
    [
        (QLoRA(double_quant=False), 3_642_753_024),  # 0.5625 * 6,476,005,376
        (QLoRA(), 3_340_771_328),  # half, + a 64th, + 4 / (64 * 256): 0.5159 each
        (QLoRA(bits=8), 6_476_005_376 + 4 * 32 * 42_496),  # one byte each, and 4 per output: 5 * 4096 + 2 * 11008
    ],
)
def test_qlora_quantises_the_decoders_linears_alone(strategy: QLoRA, quantised: int) -> None:
    assert strategy.quantised_bytes(LLAMA_7B) == quantised
    assert strategy.weight_bytes(LLAMA_7B) == quantised + 2 * (OTHERS + 39_976_960)


def test_llama_2_70b_in_nf4_weighs_what_was_measured() -> None:
    # Published: 37.21 GB peak in inference with NF4 and double quantisation; weights are all of it but the cache.
    strategy, shape = QLoRA(), load_model_shape("meta-llama/Llama-2-70b-hf")
    base = strategy.weight_bytes(shape) - 2 * strategy.trainable_parameters(shape)
    assert base / 1e9 == pytest.approx(37.21, rel=0.03)


def test_a_fused_architecture_has_its_own_target_names() -> None:
    phi = load_model_shape("microsoft/Phi-3-mini-4k-instruct")
    assert LoRA().trained_linears(phi) == ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    with pytest.raises(ConfigError, match=r"has no linear layer 'q_proj'; choose from qkv_proj, .*, or all-linear"):
        LoRA(target_modules=("q_proj",)).trainable_parameters(phi)


def test_dropout_keeps_a_copy_and_a_mask_of_every_input() -> None:
    # Without: 2 bytes * (query-key-value 4096 + gate-up 4096 + down 11008 + 7 targets * r 16).
    assert LoRA().saved_bytes_per_token(LLAMA_7B) == 2 * (4096 + 4096 + 11008 + 7 * 16)
    # With: 3 bytes * (6 targets * 4096 + 11008) + 2 * 7 * 16.
    assert LoRA(lora_dropout=0.1).saved_bytes_per_token(LLAMA_7B) == 3 * (6 * 4096 + 11008) + 2 * 7 * 16


def test_dora_adds_a_magnitude_for_every_output_and_keeps_both_outputs() -> None:
    # Outputs of a layer: q, k, v, o, down 4096 each, gate and up 11008 each: 42,496; times 32 layers.
    assert LoRA(use_dora=True).trainable_parameters(LLAMA_7B) == 39_976_960 + 32 * 42_496
    extra = LoRA(use_dora=True).saved_bytes_per_token(LLAMA_7B) - LoRA().saved_bytes_per_token(LLAMA_7B)
    assert extra == 2 * 2 * 42_496
    # The largest norm is down's: an identity of 11008 squared, and three matrices of 11008 * 4096, 2 bytes each.
    assert LoRA(use_dora=True).transient_bytes(LLAMA_7B) == 2 * (11008**2 + 3 * 11008 * 4096)
    assert LoRA().transient_bytes(LLAMA_7B) == 0


def test_embeddings_and_added_tokens_count_once_where_they_are_tied() -> None:
    # Untied Llama-2: 2 * 32000 * 4096.
    assert LoRA(train_embeddings=True).trainable_parameters(LLAMA_7B) == 39_976_960 + 262_144_000
    # Three tokens: 2 * 3 * 4096.
    assert LoRA().trainable_parameters(LLAMA_7B.with_added_tokens(3)) == 39_976_960 + 24_576
    tied = load_model_shape("google/gemma-2b")
    more = LoRA(train_embeddings=True).trainable_parameters(tied) - LoRA().trainable_parameters(tied)
    assert more == tied.vocab_size * tied.hidden_size


@pytest.mark.parametrize(
    ("strategy", "key"),
    [
        (LoRA(r=0), "r"),
        (LoRA(lora_alpha=0), "lora_alpha"),
        (LoRA(lora_dropout=1.0), "lora_dropout"),
        (LoRA(target_modules=()), "target_modules"),
        (LoRA(target_modules=("all-linear", "q_proj")), "target_modules"),
        (LoRA(target_modules=("q_proj", "lm_head"), train_embeddings=True), "target_modules"),
        (Full(zero_stage=4), "zero_stage"),
    ],
)
def test_values_that_cannot_work_are_named(strategy: Strategy, key: str) -> None:
    assert [name for name, *_ in strategy.problems()] == [key]


@pytest.mark.parametrize("target", ["model.layers.0.self_attn.q_proj", ".*_proj", "Q_proj"])
def test_a_path_or_a_pattern_is_no_target(target: str) -> None:
    with pytest.raises(ConfigError, match=r"no linear layer '.*'; choose from q_proj, .*names, not paths or patterns"):
        LoRA(target_modules=(target,)).trainable_parameters(LLAMA_7B)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("added", [(), (4096, 4097)], ids=["", "two tokens"])
@pytest.mark.parametrize(
    "strategy",
    [
        *(cls() for cls in map(STRATEGIES.__getitem__, STRATEGIES) if issubclass(cls, LoRA)),
        LoRA(r=4, use_dora=True),
        LoRA(r=4, use_rslora=True, target_modules=("q_proj", "down_proj")),
        LoRA(train_embeddings=True),
    ],
    ids=repr,
)
def test_the_formula_for_adapters_is_what_peft_makes(strategy: LoRA, added: tuple[int, ...], tied: bool) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from ray_ft.models.builtin import BUILTIN_CONFIGS
    from ray_ft.models.shape import shape_from_config

    config: dict[str, Any] = {**BUILTIN_CONFIGS["tiny"], "tie_word_embeddings": tied}
    shape = shape_from_config(config, "tiny").with_added_tokens(len(added))
    config |= {"vocab_size": shape.vocab_size, "num_hidden_layers": 2}
    del config["architectures"]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    model = strategy.add_adapters(model, seed=0, added_tokens=added)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == strategy.trainable_parameters(replace(shape, num_layers=2))
