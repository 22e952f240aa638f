"""The engines a config can name; each file enrols one."""

from ray_ft.engines.auto import AutoEngine
from ray_ft.engines.base import ENGINES, PACE, Engine, LoadedModel, Writer
from ray_ft.engines.openai import OpenAIEngine
from ray_ft.engines.requests import (
    Deliver,
    EngineStatus,
    GenerateRequest,
    GenerateResult,
    TextDelta,
    TokenLogprob,
    WriteRequest,
    Written,
)
from ray_ft.engines.transformers import TransformersEngine
from ray_ft.engines.vllm import VLLMEngine

__all__ = [
    "ENGINES",
    "PACE",
    "AutoEngine",
    "Deliver",
    "Engine",
    "EngineStatus",
    "GenerateRequest",
    "GenerateResult",
    "LoadedModel",
    "OpenAIEngine",
    "TextDelta",
    "TokenLogprob",
    "TransformersEngine",
    "VLLMEngine",
    "WriteRequest",
    "Writer",
    "Written",
]
