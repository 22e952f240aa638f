"""The engines that answer by themselves, as tests go through them; vLLM's where it and a GPU are."""

from typing import Any

import pytest
import torch

from ray_ft.engines import ENGINES, Engine
from ray_ft.engines.vllm.versions import is_installed

# auto is one of the others, and what asks a server has its own tests: there are no folders for it to look at.
ENGINE_NAMES = [name for name in ENGINES if ENGINES[name].answers and ENGINES[name].needs_weights and name != "auto"]


def here(name: str) -> str:
    """The engine's name; skips the test where it cannot run."""
    if name == "vllm" and not (is_installed() and torch.cuda.is_available()):
        pytest.skip("needs vLLM and a GPU")
    return name


def make_engine(name: str, **settings: Any) -> Engine:
    """An engine; vLLM's shares a GPU with those of other tests, and starts sooner without compiling."""
    small = {"eager": True, "gpu_memory_fraction": 0.1, "dtype": "bfloat16", "tensor_parallel": 1}
    at_once: dict[str, Any] = small if name == "vllm" else {}
    return ENGINES[name](**at_once, **settings)
