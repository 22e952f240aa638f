"""Writes data through any server with an OpenAI-style chat API: vLLM's, SGLang's, a cloud's."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ray_ft.engines.base import ENGINES, Engine, LoadedModel, Writer
from ray_ft.engines.requests import WriteRequest, Written
from ray_ft.errors import ConfigError, GenerationError, MissingDependencyError, first_line


@ENGINES.register("openai")
@dataclass(frozen=True)
class OpenAIEngine(Engine):
    """A server with an OpenAI-style chat API, such as `vllm serve`; for data.generator only."""

    name: str = "openai"
    model: str = "???"  # required
    """The model's name on the server."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Where the API is, up to /v1."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, on the machines that ask; servers without keys need none."""
    structured_output: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How the server is held to JSON; none where it knows no response_format."""
    max_in_flight: int = 64
    """Requests at the same time."""
    timeout_s: float = 300.0
    """Longest wait for one answer."""
    max_retries: int = 5
    """How often a request is sent again when the server is busy or out of reach."""

    answers: ClassVar[bool] = False
    needs_weights: ClassVar[bool] = False

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        raise ConfigError("engine openai writes data and loads no adapters; evaluate and serve with transformers")

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> Writer:
        return _ServerWriter(self)

    def write_batch_size(self) -> int:
        return 4 * self.max_in_flight

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, Any]:
        keys = ("name", "model", "base_url", "structured_output")
        return {key: getattr(self, key) for key in keys}


class _ServerWriter:
    def __init__(self, engine: OpenAIEngine) -> None:
        try:
            from openai import OpenAI
        except ImportError:
            raise MissingDependencyError("engine openai needs the client: pip install 'ray_ft[openai]'") from None
        self._engine = engine
        self._client = OpenAI(
            base_url=engine.base_url,
            api_key=os.environ.get(engine.api_key_variable) or "none",
            timeout=engine.timeout_s,
            max_retries=engine.max_retries,
        )

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        with ThreadPoolExecutor(max(1, self._engine.max_in_flight)) as threads:
            places = {threads.submit(self._ask, request): i for i, request in enumerate(requests)}
            try:
                for done in as_completed(places):
                    yield places[done], done.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask(self, request: WriteRequest) -> Written:
        """One answer; what the server refuses for this request alone is an error of the answer."""
        import openai

        client: Any = self._client.chat.completions
        try:
            response = client.create(
                model=self._engine.model,
                messages=[{"role": "user", "content": request.prompt}],
                max_tokens=request.max_new_tokens,
                temperature=request.temperature,
                seed=request.seed,
                **self._format(request.schema),
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Written("", f"the server refused: {first_line(error)}"[:300])
        except openai.OpenAIError as error:
            where = f"{self._engine.base_url} (model {self._engine.model})"
            raise GenerationError(f"{where} does not answer: {first_line(error)}"[:500]) from None
        message = response.choices[0].message if response.choices else None
        return Written(message.content) if message and message.content else Written("", "the server gave no text")

    def _format(self, schema: str) -> dict[str, Any]:
        how = self._engine.structured_output
        if not schema or how == "none":
            return {}
        if how == "json_object":
            return {"response_format": {"type": "json_object"}}
        named = {"name": "answer", "schema": json.loads(schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
