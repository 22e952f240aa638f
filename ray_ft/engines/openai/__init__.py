"""Any server with an OpenAI-style API: vLLM's, SGLang's, our own, a cloud's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ray_ft.engines.base import ENGINES, Engine, LoadedModel, Writer
from ray_ft.errors import ModelError


@ENGINES.register("openai")
@dataclass(frozen=True)
class OpenAIEngine(Engine):
    """A server with an OpenAI-style API, such as `vllm serve`: chats write data, completions evaluate."""

    name: str = "openai"
    model: str = "???"  # required
    """The base model's name on the server."""
    adapters: dict[str, str] = field(default_factory=dict)
    """Adapters that the server has, as name: its name there; evaluation asks for the one named tuned."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Where the API is, up to /v1."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, on the machines that ask; servers without keys need none."""
    structured_output: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How the server is held to JSON; none where it knows no response_format."""
    prompts: Literal["ids", "text"] = "ids"
    """How completions are asked for: by token ids, or by text for servers that take nothing else."""
    max_seq_len: int | None = None
    """Longest context of the server's models; null asks the server, or takes the base's own."""
    max_in_flight: int = 64
    """Requests at the same time."""
    timeout_s: float = 300.0
    """Longest wait for one answer."""
    max_retries: int = 5
    """How often a request is sent again when the server is busy or out of reach."""

    needs_weights: ClassVar[bool] = False

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        from ray_ft.engines.openai.model import ServerModel
        from ray_ft.engines.prompts import Prompts

        self.check(model_path, adapters)
        prompts = Prompts(model_path, None, chat_template=chat_template)
        return ServerModel(self, prompts, model_path, {name: self.adapters[name] for name in adapters})

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> Writer:
        from ray_ft.engines.openai.writer import ServerWriter

        return ServerWriter(self)

    def write_batch_size(self) -> int:
        return 4 * self.max_in_flight

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, Any]:
        keys = ("name", "model", "base_url", "structured_output")
        return {key: getattr(self, key) for key in keys}

    def problems(self) -> Iterator[tuple[str, object, str]]:
        for name in ("max_in_flight", "max_seq_len"):
            given = getattr(self, name)
            if given is not None and given < 1:
                yield name, given, "at least 1"

    def check(self, model_path: str, adapters: Mapping[str, str]) -> None:
        if unknown := [name for name in adapters if name not in self.adapters]:
            raise ModelError(
                f"engine.adapters: there is no {unknown[0]!r} among {sorted(self.adapters)}; name the model on "
                f"{self.base_url} that serves {adapters[unknown[0]]}"
            )
