"""Which attention kernels there are, by what they are called, where they run, and whether they are installed here."""

from importlib.util import find_spec

ATTENTION_NAMES: dict[str | None, str] = {
    "flash4": "FlashAttention-4",
    "flash2": "PyTorch's own FlashAttention-2",
    None: "transformers' own, with a mask",
}
"""For people; the keys are those of ray_ft/kernels/attention.py."""
FLASH4_GPUS = ("H100", "H200", "H800", "GH200", "B200", "GB200")
"""Hopper and datacenter Blackwell, for which FlashAttention-4 has kernels; how catalogue names begin."""


def has_flash4() -> bool:
    """Whether FlashAttention-4 is installed on this machine; imports no kernel."""
    try:
        return find_spec("flash_attn.cute") is not None
    except (ImportError, ValueError):  # without the package above it
        return False
