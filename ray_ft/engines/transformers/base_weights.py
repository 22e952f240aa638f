"""Loads the base model's weights from a local folder, in the dtype and quantisation that the config asks for."""

from typing import TYPE_CHECKING, Any

from ray_ft.errors import MissingDependencyError, ModelError
from ray_ft.models.weights import load_weights

if TYPE_CHECKING:
    import torch


def load_base(model_path: str, *, dtype: str, quantization: str) -> Any:
    """The causal language model of a folder, in evaluation mode, on the GPU if there is one.

    `dtype` and `quantization` are `TransformersEngine`'s words. Raises ModelError when the folder holds no such model.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compute_dtype = _compute_dtype(dtype, device)
    try:
        packed = _quantization_config(quantization, compute_dtype)
        return load_weights(model_path, dtype=compute_dtype, quantization=packed, device_map={"": device}).eval()
    except torch.OutOfMemoryError:
        raise ModelError(f"{model_path} does not fit the GPU's memory; set engine.quantization=nf4 or int8") from None


def _compute_dtype(dtype: str, device: "torch.device") -> "torch.dtype":
    import torch

    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _quantization_config(quantization: str, compute_dtype: "torch.dtype") -> Any:
    """None for unquantised weights; double quantisation for NF4, as QLoRA trains (arXiv 2305.14314)."""
    if quantization == "none":
        return None
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            f"engine.quantization={quantization} needs bitsandbytes: pip install bitsandbytes"
        ) from None
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )
