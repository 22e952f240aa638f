"""Bases with fewer bits to a weight: which are read at all, and how bitsandbytes' stay as they were stored."""

from collections.abc import Mapping
from typing import Any

from ray_ft.errors import ModelError

OURS = "bitsandbytes"


def is_quantised(config: Mapping[str, Any]) -> bool:
    """Whether a config.json says that its weights are stored in fewer bits, by whatever method."""
    return bool(_quantisation(config))


def refuse_foreign_quantisation(config: Mapping[str, Any], name: str) -> None:
    """Raise ModelError where a config.json names a method other than bitsandbytes: nothing here reads its weights.

    Without the method's own library transformers does not find them either, and takes random ones.
    """
    method = _quantisation(config).get("quant_method", OURS)
    if method != OURS:
        raise ModelError(
            f"model.name: the base {name} is quantised by {method}, says its config.json; name the unquantised one"
        )


def _quantisation(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")
    return found or config.get("compression_config") or {}


def keep_as_stored(model: Any) -> Any:
    """The model, whose 4-bit weights stay as they were quantised whichever processor computes with them.

    On processors with AVX512-BF16, bitsandbytes' first pass in evaluation mode packs the weights anew in place for a
    kernel of its own, and rounds their constants to bf16: later steps would train beside other weights, a resumed run
    would differ from the unbroken one, and ZeRO-3 would not find the storage that it split.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
