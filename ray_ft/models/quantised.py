"""What every loader does with a base that bitsandbytes quantised, so that a pass over it changes nothing."""

from typing import Any


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
