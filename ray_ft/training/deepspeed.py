"""A strategy and a batch geometry as DeepSpeed's config dict, and the learning rate's shape; imports no DeepSpeed."""

import math
from typing import Any, Literal

from ray_ft.strategies import Strategy

Precision = Literal["fp32", "bf16", "fp16"]


def deepspeed_config(
    strategy: Strategy,
    *,
    micro_batch_size: int,
    gradient_accumulation_steps: int,
    max_grad_norm: float,
    precision: Precision,
) -> dict[str, Any]:
    """What `deepspeed.initialize` gets. The optimizer and the schedule are ours, so they are not in it."""
    assert strategy.zero_stage in (0, 1, 2, 3), "the plan fixes the ZeRO stage before training"
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


def learning_rate_factor(
    step: int, *, num_steps: int, warmup_ratio: float, shape: Literal["cosine", "linear", "constant"]
) -> float:
    """Share of the peak learning rate at a step, counted from 0: up linearly from 0, then along `shape` to 0.

    The same curve as transformers' schedules with floor(num_steps * warmup_ratio) warm-up steps.
    """
    warmup = int(num_steps * warmup_ratio)
    if step < warmup:
        return step / warmup
    if shape == "constant":
        return 1.0
    progress = (step - warmup) / max(1, num_steps - warmup)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * progress)) if shape == "cosine" else 1 - progress)
