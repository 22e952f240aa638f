from typing import Any

import pytest

from ray_ft.models.shape import load_model_shape
from ray_ft.strategies import Full, LoRA, Strategy
from ray_ft.strategies.zero import zero_sizes
from ray_ft.training.backends.deepspeed import _rounding
from ray_ft.training.backends.deepspeed_config import deepspeed_config

LLAMA_7B = load_model_shape("meta-llama/Llama-2-7b-hf")
LLAMA_70B = load_model_shape("meta-llama/Llama-2-70b-hf")


def config_of(strategy: Strategy, precision: Any = "bf16", accumulation: int = 4) -> dict[str, Any]:
    return deepspeed_config(
        strategy,
        LLAMA_7B,
        micro_batch_size=2,
        gradient_accumulation_steps=accumulation,
        max_grad_norm=1.0,
        precision=precision,
    )


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_plan_s_stage_is_deepspeed_s(stage: int) -> None:
    assert config_of(Full(zero_stage=stage, offload="none"))["zero_optimization"]["stage"] == stage


def test_cpu_workers_train_in_fp32_and_overlap_nothing() -> None:
    config = config_of(LoRA(zero_stage=2, offload="none"), precision="fp32")
    assert "bf16" not in config
    assert "fp16" not in config
    assert config["zero_optimization"]["overlap_comm"] is False
    assert config_of(LoRA(zero_stage=2, offload="none"))["zero_optimization"]["overlap_comm"] is True


def test_offload_all_moves_parameters_and_optimizer() -> None:
    zero = config_of(Full(zero_stage=3, offload="all"))["zero_optimization"]
    assert zero["offload_optimizer"] == zero["offload_param"] == {"device": "cpu", "pin_memory": True}
    assert "offload_param" not in config_of(Full(zero_stage=2, offload="optimizer"))["zero_optimization"]


def test_an_unplanned_stage_never_reaches_deepspeed() -> None:
    with pytest.raises(AssertionError):
        config_of(Full())


def test_micro_batches_are_added_up_in_fp32_where_there_are_several() -> None:
    accumulated = Full(zero_stage=3, offload="none")
    assert config_of(accumulated)["data_types"] == {"grad_accum_dtype": "fp32"}
    assert config_of(Full(zero_stage=3, offload="all"))["data_types"] == {"grad_accum_dtype": "fp32"}
    assert "data_types" not in config_of(accumulated, precision="fp32")
    assert "data_types" not in config_of(accumulated, accumulation=1)


def test_a_bucket_holds_one_linear_layer_or_all_adapters() -> None:
    assert zero_sizes(LLAMA_7B, Full()).reduce_bucket == 4096 * 11008
    # r * (inputs + outputs): 16 * (4 * 8192 + 3 * 15104) in each of 32 layers.
    assert zero_sizes(LLAMA_7B, LoRA(r=16)).reduce_bucket == 32 * 16 * (4 * 8192 + 3 * 15104)


def test_adapters_are_never_split_and_norms_neither() -> None:
    assert zero_sizes(LLAMA_7B, LoRA(r=16)).persistence > 16 * 11008
    assert zero_sizes(LLAMA_7B, Full()).persistence == 40960


def test_a_layer_can_be_gathered_ahead_of_the_one_at_work() -> None:
    # A layer of 70B: 8192 * (2 * 8192 + 2 * 1024 + 3 * 28672) = 855,638,016.
    sizes = zero_sizes(LLAMA_70B, LoRA())
    assert sizes.prefetch == 855_638_016
    assert sizes.live == 3 * 855_638_016
    assert zero_sizes(LLAMA_7B, LoRA()).live == 1_000_000_000


def test_it_is_said_where_deepspeed_adds_in_sixteen_bits_all_the_same() -> None:
    """With offload at stages 1 and 2 its sums are in the parameters' dtype, whatever is asked for."""
    offloaded = Full(zero_stage=2, offload="optimizer")
    (line,) = _rounding(config_of(offloaded))
    assert line.startswith("DeepSpeed adds micro-batches up in 16 bits where ZeRO-2 offloads")
    for config in (
        config_of(offloaded, accumulation=1),
        config_of(offloaded, precision="fp32"),
        config_of(Full(zero_stage=3, offload="optimizer")),
        config_of(Full(zero_stage=0, offload="none")),
    ):
        assert _rounding(config) == []
