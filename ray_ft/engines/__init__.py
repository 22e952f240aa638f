"""The engines a config can name; each file enrols one."""

from ray_ft.engines.base import (
    ENGINES,
    PACE,
    Deliver,
    Engine,
    EngineStatus,
    GenerateRequest,
    GenerateResult,
    LoadedModel,
    TextDelta,
    TokenLogprob,
    Writer,
    WriteRequest,
    Written,
)
from ray_ft.engines.openai import OpenAIEngine
from ray_ft.engines.transformers import TransformersEngine

__all__ = [
    "ENGINES",
    "PACE",
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
    "WriteRequest",
    "Writer",
    "Written",
]
