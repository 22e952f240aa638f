"""The engines a config can name; each file enrols one."""

from ray_ft.engines.base import (
    ENGINES,
    Engine,
    GenerateRequest,
    GenerateResult,
    LoadedModel,
    TextDelta,
    Writer,
    WriteRequest,
    Written,
)
from ray_ft.engines.openai import OpenAIEngine
from ray_ft.engines.transformers import TransformersEngine

__all__ = [
    "ENGINES",
    "Engine",
    "GenerateRequest",
    "GenerateResult",
    "LoadedModel",
    "OpenAIEngine",
    "TextDelta",
    "TransformersEngine",
    "WriteRequest",
    "Writer",
    "Written",
]
