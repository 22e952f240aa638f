"""Makes a loaded model's forward and backward passes fast, by the kernels that a task allows and a machine has.

The loop and the optimizer know nothing of it. What each kernel is for stands in `ray_ft/kernels`.
"""

import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray_ft.hardware.attention import ATTENTION_NAMES
from ray_ft.kernels.attention import Kernel, use_packed_attention
from ray_ft.kernels.compiler import can_build_kernels, has_c_compiler
from ray_ft.kernels.lora import fuse_lora
from ray_ft.kernels.recompute import recompute_layers
from ray_ft.kernels.rotary import fuse_rotary
from ray_ft.kernels.swiglu import fuse_swiglu
from ray_ft.training.task import TrainingTask


def accelerate(model: Any, task: TrainingTask) -> Any:
    """The model with the fastest kernels that are there, and activation checkpointing where the plan asks for it.

    Called once on every worker after the weights are loaded and before the engine makes optimizer state, so it may
    replace modules and functions but not the parameters that train.
    """
    base = _below_adapters(model)
    whole = task.strategy.zero_stage < 3  # ZeRO-3 gathers weights by hooks on the calls of the modules that hold them
    compiled = whole and task.use_gpu and _wants_compile(task)
    base.kernel_warnings = []
    if task.use_gpu:
        base.fused_loss = _use_liger(base, loss_only=compiled)
        base.kernel_warnings = _missing(base, compiled=compiled, whole=whole, task=task)
    kernel = use_packed_attention(base)
    base.kernel_warnings += _another_attention(kernel, task) if task.use_gpu else []
    if whole and task.strategy.is_adapter:
        fuse_lora(model)
    if compiled and can_build_kernels():
        fuse_swiglu(base)
        fuse_rotary(base)
    layers = _decoder_layers(base)
    if not whole or not layers:
        if task.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return model
    if task.gradient_checkpointing:
        offload = task.use_gpu and task.train.offload_activations is not False
        recompute_layers(base, layers, keep="attention", offload=offload)
    elif compiled:  # else every elementwise result would be kept beside the products
        recompute_layers(base, layers, keep="products", offload=False)
    if compiled:
        _compile(base, layers)
    return model


def as_inputs(model: Any, batch: dict[str, Any], *, device: Any) -> dict[str, Any]:
    """A collated batch as keyword arguments of the model's forward pass, on its way to the device."""
    inputs = {
        name: value.to(device, non_blocking=True) if hasattr(value, "to") else value for name, value in batch.items()
    }
    base = _below_adapters(model)
    if getattr(base, "fused_loss", False):
        inputs["skip_logits"] = True  # in evaluation too
    elif inputs["labels"].device.type == "cpu" and "logits_to_keep" in inspect.signature(type(base).forward).parameters:
        inputs |= _targets_alone(inputs["labels"])
    if getattr(base, "compiled_layers", False):
        import torch

        # The number of examples differs from batch to batch; the shapes of everything else do not.
        torch._dynamo.maybe_mark_dynamic(inputs["cu_seq_lens_q"], 0)
        inputs["cu_seq_lens_k"] = inputs["cu_seq_lens_q"]
    return inputs


def _targets_alone(labels: Any) -> dict[str, Any]:
    """What has the model make logits where some row has a target, and nowhere else: over all of a large vocabulary,
    those of a question are a fifth of a small model's step.

    On a GPU a fused loss does better, and nothing may wait for the number of targets.
    """
    import torch

    shifted = torch.nn.functional.pad(labels, (0, 1), value=-100)[:, 1:]
    kept = (shifted != -100).any(0).nonzero().squeeze(1)
    return {"logits_to_keep": kept, "shift_labels": shifted[:, kept].contiguous()} if len(kept) else {}


def kernel_warnings(model: Any) -> list[str]:
    """What `accelerate` would have used and did not find."""
    base = _below_adapters(model)
    return list(getattr(base, "kernel_warnings", []))


@contextmanager
def uncompiled() -> Iterator[None]:
    """While the context lasts, compiled layers run as written: for shapes that come only once, such as a sample's."""
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield


def _below_adapters(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") else model


def _missing(model: Any, *, compiled: bool, whole: bool, task: TrainingTask) -> list[str]:
    """What would make this run faster or smaller, in a line for each; the plan counts on it."""
    found = []
    if _head_is_adapted(model):
        found.append("lm_head has an adapter, so the loss holds all logits: more memory than planned")
    elif not model.fused_loss and importlib.util.find_spec("liger_kernel") is None:
        found.append("liger-kernel is not installed, so the loss holds all logits; pip install 'ray_ft[gpu]'")
    if whole and not compiled and task.train.compile is None:
        found.append("there is no C compiler, so decoder layers are not compiled: slower, and more memory than planned")
    return found


def _another_attention(kernel: Kernel | None, task: TrainingTask) -> list[str]:
    """What to say where the plan's time is for another kernel than the one that attends."""
    planned = task.plan.get("attention")
    if not planned or kernel == planned:
        return []
    return [
        f"attention is by {ATTENTION_NAMES[kernel]}, and the plan counted on {ATTENTION_NAMES[planned]}: steps take "
        "another time than planned; plan.attention says what to plan for"
    ]


def _wants_compile(task: TrainingTask) -> bool:
    return has_c_compiler() if task.train.compile is None else task.train.compile


def _use_liger(model: Any, *, loss_only: bool) -> bool:
    """Liger's kernels, where it is installed and knows the architecture; whether the loss is now fused."""
    if _head_is_adapted(model):
        return False
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
    except ImportError:
        return False
    if model.config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        return False
    others = ("rope", "swiglu", "geglu", "rms_norm", "layer_norm")
    apply = MODEL_TYPE_TO_APPLY_LIGER_FN[model.config.model_type]
    taken = apply.__code__.co_varnames[: apply.__code__.co_argcount]
    _apply_liger_kernel_to_instance(model=model, **{name: False for name in others if loss_only and name in taken})
    return "skip_logits" in type(model).forward.__code__.co_varnames or "skip_logits" in _names(model.forward)


def _head_is_adapted(model: Any) -> bool:
    """Whether the output head has a LoRA, which a fused loss would not see: it reads the head's weight alone.

    A head that trains in full, or by the rows of added tokens, shows its trained weight.
    """
    return bool(getattr(model.get_output_embeddings(), "lora_A", None))


def _names(function: Any) -> tuple[str, ...]:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount]


def _decoder_layers(model: Any) -> list[Any]:
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _compile(model: Any, layers: list[Any]) -> None:
    """Layer by layer, since all of them share what is compiled for one."""
    for layer in layers:
        layer.compile(fullgraph=False)
    norm = getattr(model.base_model, "norm", None)
    if norm is not None:
        norm.compile()
    model.compiled_layers = True
