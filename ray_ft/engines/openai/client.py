"""The client of OpenAI's package, as the engine's settings have it, and what its errors mean."""

import json
import os
from typing import TYPE_CHECKING, Any

from ray_ft.errors import GenerationError, MissingDependencyError, first_line

if TYPE_CHECKING:
    from ray_ft.engines.openai import OpenAIEngine


def make_client(engine: "OpenAIEngine", kind: str) -> Any:
    """An `OpenAI` or `AsyncOpenAI`. Raises MissingDependencyError."""
    try:
        import openai
    except ImportError:
        raise MissingDependencyError("engine openai needs the client: pip install 'ray_ft[openai]'") from None
    return getattr(openai, kind)(
        base_url=engine.base_url,
        api_key=os.environ.get(engine.api_key_variable) or "none",
        timeout=engine.timeout_s,
        max_retries=engine.max_retries,
    )


def no_answer(engine: "OpenAIEngine", model: str, error: BaseException) -> GenerationError:
    """The error of a server that does not answer."""
    return GenerationError(f"{engine.base_url} (model {model}) does not answer: {first_line(error)}"[:500])


def response_format(engine: "OpenAIEngine", schema: str) -> dict[str, Any]:
    """How a request says that its answer is to keep to a schema."""
    how = engine.structured_output
    if not schema or how == "none":
        return {}
    if how == "json_object":
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "schema": json.loads(schema), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}
