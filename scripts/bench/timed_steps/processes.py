"""Processes that train for a measurement: their GPUs, the group that they form, and what is installed in them."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[2]
PACKAGES = (
    "torch", "triton", "transformers", "peft", "accelerate", "bitsandbytes", "liger-kernel", "deepspeed",
    "flash-attn-4", "flash-attn", "xformers", "unsloth", "unsloth_zoo", "cut-cross-entropy", "trl",
)  # fmt: skip


def num_gpus() -> int:
    """CUDA GPUs of this machine, without importing torch here."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def device_and_dtype() -> tuple[Any, Any]:
    """bf16 on this rank's GPU, or fp32 on the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu"), torch.float32
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device, torch.bfloat16


def start_process_group(device: Any) -> None:
    """The group that Ray Train would have made; RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT come from outside."""
    import torch.distributed as dist

    if device.type == "cuda":
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")


def versions() -> dict[str, str]:
    """Versions of what the figures depend on, as this process sees them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
