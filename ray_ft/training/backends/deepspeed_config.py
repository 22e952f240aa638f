"""A strategy and a batch geometry as DeepSpeed's config dict; imports no DeepSpeed."""

from typing import Any

from ray_ft.models.shape import ModelShape
from ray_ft.strategies import Strategy
from ray_ft.strategies.zero import OPTIMIZER_GROUP, zero_sizes
from ray_ft.training.task import Precision


def deepspeed_config(
    strategy: Strategy,
    shape: ModelShape,
    *,
    micro_batch_size: int,
    gradient_accumulation_steps: int,
    max_grad_norm: float,
    precision: Precision,
) -> dict[str, Any]:
    """What `deepspeed.initialize` gets. The optimizer and the schedule are ours, so they are not in it."""
    assert strategy.zero_stage in (0, 1, 2, 3), "the plan fixes the ZeRO stage"
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "gradient_clipping": max_grad_norm,
        "zero_optimization": _zero(strategy, shape, on_gpu=precision != "fp32"),
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # its kernel needs a compiler; the worker takes it where it can be built
        "steps_per_print": None,
    }
    if precision != "fp32":
        config[precision] = {"enabled": True}
        # Else each addition is rounded to 16 bits; at stage 0, and with offload at 1 and 2, DeepSpeed heeds no setting.
        heeded = strategy.zero_stage == 3 or (strategy.zero_stage > 0 and strategy.offload == "none")
        if gradient_accumulation_steps > 1 and heeded:
            config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def _zero(strategy: Strategy, shape: ModelShape, *, on_gpu: bool) -> dict[str, Any]:
    """ZeRO's own section: what is split, where it lives, and how much of it travels at once."""
    sizes = zero_sizes(shape, strategy)
    zero: dict[str, Any] = {
        "stage": strategy.zero_stage,
        "reduce_bucket_size": sizes.reduce_bucket,
        "allgather_bucket_size": sizes.prefetch,
        "contiguous_gradients": True,
        "overlap_comm": on_gpu,
    }
    if strategy.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": sizes.prefetch,
            "stage3_param_persistence_threshold": sizes.persistence,
            "stage3_max_live_parameters": sizes.live,
            "stage3_max_reuse_distance": sizes.live,
            "sub_group_size": OPTIMIZER_GROUP,
        }
    if strategy.offload in ("optimizer", "all"):
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": on_gpu}
    if strategy.offload == "all":
        zero["offload_param"] = {"device": "cpu", "pin_memory": on_gpu}
    return zero
