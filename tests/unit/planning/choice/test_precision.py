"""train.precision in a plan: its memory, what suits the hardware by itself, and GPUs that lack it."""

from typing import Any, Literal

import pytest

from ray_ft.artifacts import Plan, Workload, from_json, to_json
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import hardware_for
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.choice.choose import choose_plan
from ray_ft.strategies import LoRA


def plan_for(gpu: str, precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto") -> Plan:
    train = TrainConfig(strategy=LoRA(zero_stage=0, offload="none"), micro_batch_size=1, precision=precision)
    assumptions = PlanConfig(gpu=gpu, num_gpus=1, host_memory_gib=400.0)
    return choose_plan(
        load_model_shape("meta-llama/Llama-3.2-1B"),
        hardware=hardware_for(assumptions),
        workload=Workload(1_000_000, 1.0, 512, train.global_batch_size),
        train=train,
        plan=assumptions,
    )


@pytest.mark.parametrize(("gpu", "precision"), [("cpu", "fp32"), ("H200", "bf16"), ("T4", "fp16")])
def test_what_suits_the_hardware_is_taken_and_written_down(gpu: str, precision: str) -> None:
    made = plan_for(gpu)
    assert made.precision == precision
    assert from_json(Plan, to_json(made)).precision == precision


def test_weights_in_32_bits_take_twice_the_memory_and_16_bits_half_on_a_cpu() -> None:
    def weights(gpu: str, precision: Any) -> int:
        return plan_for(gpu, precision).estimate.memory.weights

    assert weights("H200", "fp32") == 2 * weights("H200", "bf16") == 2 * weights("H200", "fp16")
    assert weights("cpu", "bf16") * 2 == weights("cpu", "auto")


def test_bf16_is_refused_where_the_gpu_has_none() -> None:
    with pytest.raises(ConfigError, match=r"train\.precision: T4 has no bf16; auto or fp16 would work"):
        plan_for("T4", "bf16")


def test_a_plan_that_names_none_is_an_older_one() -> None:
    older = to_json(plan_for("cpu"))
    del older["precision"]
    assert from_json(Plan, older).precision == "auto"
