"""A strategy and a batch geometry as DeepSpeed's config dict; imports no DeepSpeed."""

from typing import Any

from ray_ft.strategies import Strategy
from ray_ft.training.task import Precision


def deepspeed_config(
    strategy: Strategy,
    *,
    micro_batch_size: int,
    gradient_accumulation_steps: int,
    max_grad_norm: float,
    precision: Precision,
) -> dict[str, Any]:
    """What `deepspeed.initialize` gets. The optimizer and the schedule are ours, so they are not in it."""
    assert strategy.zero_stage in (1, 2, 3), "the plan fixes the ZeRO stage, and stage 0 runs without DeepSpeed"
    zero: dict[str, Any] = {"stage": strategy.zero_stage}
    if strategy.offload in ("optimizer", "all"):
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": precision != "fp32"}
    if strategy.offload == "all":
        zero["offload_param"] = {"device": "cpu", "pin_memory": precision != "fp32"}
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "gradient_clipping": max_grad_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # its kernel needs a compiler; the worker takes it where it can be built
        "steps_per_print": None,
    }
    if precision != "fp32":
        config[precision] = {"enabled": True}
    return config
