"""What differs between the versions of vLLM that are supported, from 0.26 to 0.33, and what is imported of it."""

import importlib.util
import os
from dataclasses import dataclass
from typing import Any

from ray_ft.errors import MissingDependencyError, ModelError

OLDEST = (0, 26)
INSTALL = "pip install 'ray_ft[vllm]' -c constraints-vllm.txt"

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # the base is a folder
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # the process has threads
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TOKENIZERS_PARALLELISM": "false",
}
WITHOUT_FLASHINFER = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0"}


@dataclass(frozen=True)
class VLLM:
    """The classes that are used, and what this version can do."""

    version: str
    AsyncLLM: Any
    AsyncEngineArgs: Any
    SamplingParams: Any
    StructuredOutputsParams: Any
    StructuredOutputsConfig: Any
    RequestOutputKind: Any
    LoRARequest: Any
    refusals: tuple[type[Exception], ...]
    """Errors that are one request's own fault."""
    scales_by_pattern: bool
    """Whether rank_pattern and alpha_pattern of an adapter count; 0.26 passes over them and answers wrongly."""
    quantizations: tuple[str, ...]
    """Its names for them."""


def import_vllm() -> VLLM:
    """vLLM's classes, with its settings for machines without a network made where the user has made none.

    Raises MissingDependencyError with the command that installs it.
    """
    if not is_installed():
        raise MissingDependencyError(f"engine vllm needs vLLM: {INSTALL}")
    for name, value in (ENVIRONMENT | ({} if _has("flashinfer") else WITHOUT_FLASHINFER)).items():
        os.environ.setdefault(name, value)
    try:
        import vllm
        from vllm import exceptions
        from vllm.config import StructuredOutputsConfig
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.lora.peft_helper import PEFTHelper
        from vllm.lora.request import LoRARequest
        from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise MissingDependencyError(f"engine vllm: vLLM cannot be imported ({error}); {INSTALL}") from error
    version = str(vllm.__version__)
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        raise MissingDependencyError(f"engine vllm needs vLLM 0.26 or newer, this is {version}: {INSTALL}")
    # since 0.33 what a request does wrong is no ValueError any more
    refusal = getattr(exceptions, "VLLMClientError", exceptions.VLLMValidationError)
    return VLLM(
        version,
        AsyncLLM,
        AsyncEngineArgs,
        SamplingParams,
        StructuredOutputsParams,
        StructuredOutputsConfig,
        RequestOutputKind,
        LoRARequest,
        refusals=(refusal, ValueError, TypeError),
        scales_by_pattern=hasattr(PEFTHelper, "get_rank_and_scaling"),
        quantizations=tuple(QUANTIZATION_METHODS),
    )


def is_installed() -> bool:
    """Whether vLLM is there, without importing it."""
    return _has("vllm")


def quantization_method(quantization: str, vllm: VLLM) -> str | None:
    """vLLM's word for a quantisation. Raises ModelError where this version has it not."""
    if quantization == "none":
        return None
    method = {"nf4": "bitsandbytes"}.get(quantization, quantization)
    if method not in vllm.quantizations:
        raise ModelError(
            f"engine.quantization={quantization} is not in vLLM {vllm.version}; take fp8, vLLM 0.26, or "
            "engine.name=transformers"
        )
    return method


def _has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
