"""What makes a loaded model's forward and backward passes fast; the loop and the optimizer know nothing of it."""

from typing import Any

from ray_ft.training.task import TrainingTask


def accelerate(model: Any, task: TrainingTask) -> Any:
    """The model with the fastest kernels that are there, and activation checkpointing where the plan asks for it.

    Called once on every worker after the weights are loaded and before the engine makes optimizer state, so it may
    replace modules and functions but not the parameters that train.
    """
    if task.use_gpu:
        _use_liger(model)
    if task.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def _use_liger(model: Any) -> None:
    """Liger's kernels, where it is installed and knows the architecture: the logits are never held as a whole."""
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ImportError:
        return
    _apply_liger_kernel_to_instance(model=model.get_base_model() if hasattr(model, "peft_config") else model)
