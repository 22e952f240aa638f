import pytest

from ray_ft.strategies import Full, LoRA
from ray_ft.training.deepspeed import deepspeed_config


def config_of(strategy: Full | LoRA, precision: str = "bf16") -> dict[str, object]:
    return deepspeed_config(
        strategy, micro_batch_size=2, gradient_accumulation_steps=4, max_grad_norm=1.0, precision=precision,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_plan_s_stage_is_deepspeed_s(stage: int) -> None:
    assert config_of(Full(zero_stage=stage, offload="none"))["zero_optimization"] == {"stage": stage}


def test_cpu_workers_train_in_fp32() -> None:
    config = config_of(LoRA(zero_stage=2, offload="none"), precision="fp32")
    assert "bf16" not in config
    assert "fp16" not in config


def test_offload_all_moves_parameters_and_optimizer() -> None:
    zero = config_of(Full(zero_stage=3, offload="all"))["zero_optimization"]
    assert zero == {
        "stage": 3,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "offload_param": {"device": "cpu", "pin_memory": True},
    }


def test_an_unplanned_stage_never_reaches_deepspeed() -> None:
    with pytest.raises(AssertionError):
        config_of(Full())
