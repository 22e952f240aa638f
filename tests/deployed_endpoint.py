"""An endpoint in this process over a scripted model, with adapters that come and go."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from scripted_model import ScriptedModel

from ray_ft.config import ServingConfig
from ray_ft.errors import ModelError
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.api.retrieval import Retrieval
from ray_ft.serving.exchange import Backend
from ray_ft.serving.passages import Found, PassageIndex, PassageSet
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.registry import Registry, create
from ray_ft.serving.replica.loading import AdapterReplica

BASE = "builtin:tiny"


class AdapterModel(ScriptedModel):
    """Refuses an adapter whose weights are b"bad", and waits with b"slow" ones until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def load_adapter(self, name: str, folder: str) -> None:
        weights = (Path(folder) / "adapter_model.safetensors").read_bytes()
        if weights.startswith(b"bad"):
            raise ModelError(f"adapter {name!r} ({folder}) does not fit this base: 3 keys missing")
        if weights.startswith(b"slow"):
            self.go.wait(timeout=30)
        super().load_adapter(name, folder)


def retrieval(backend: Backend, passages: PassageSet | None) -> Retrieval:
    """Passages that a thread looks up, where Ray Serve would have a process."""

    async def search(question: str, num_passages: int) -> Found:
        assert passages is not None
        return await asyncio.to_thread(lambda: PassageIndex(passages).search(question, num_passages))

    return Retrieval(backend, passages, search)


class DeployedEndpoint:
    """The API, and what stands behind it."""

    def __init__(
        self,
        folder: Path,
        *,
        model: AdapterModel | None = None,
        adapters: Sequence[str] = ("handbook",),
        longest_answer: int = 20,
        passages: PassageSet | None = None,
        **serving: Any,
    ) -> None:
        (folder / "base").mkdir()
        (folder / "base" / "config.json").write_text("{}")
        (folder / "store" / "endpoint").mkdir(parents=True)
        self.root = folder / "runs"
        self.model = model or AdapterModel()
        first = {name: self.adapter(name, name.encode()) for name in adapters}
        self.registry = create(
            folder / "store" / "endpoint", base_path=str(folder / "base"), base_name=BASE, adapters=first
        )
        config = ServingConfig(**serving)
        self.replica = AdapterReplica(
            self.model, self.registry.folder, max_new_tokens=longest_answer, adapter_wait_s=config.adapter_wait_s
        )
        self.desk = Desk(self.registry, self.replica, config, roots=[self.root])
        self.api = registry_api(self.desk, self.desk, watch={}, retrieval=retrieval(self.desk, passages))
        self.client: TestClient

    def adapter(self, name: str, weights: bytes) -> str:
        """A folder with an adapter, below the root from which adapters may be loaded."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
        (folder / "adapter_model.safetensors").write_bytes(weights)
        return str(folder)

    def load(self, name: str, weights: bytes, **fields: Any) -> Any:
        """POST /v1/load_lora_adapter."""
        path = self.adapter(name, weights)
        return self.client.post("/v1/load_lora_adapter", json={"lora_name": name, "lora_path": path} | fields)

    def ask(self, model: str, **fields: Any) -> Any:
        """POST /v1/completions."""
        return self.client.post("/v1/completions", json={"model": model, "prompt": "once", "seed": 7} | fields)

    def versions(self, name: str) -> list[str]:
        """Ids of a name's versions, the oldest first."""
        return [version.id for version in self.registry.state.adapters[name].versions]

    def answered_by(self, model: str, **fields: Any) -> str:
        """The version that answers for a name; "None" is the base."""
        text: str = self.ask(model, **fields).json()["choices"][0]["text"]
        return text.partition("#")[0].partition(" ")[0]

    def reopened(self) -> Registry:
        """What an endpoint whose gateway starts again finds."""
        return Registry(self.registry.folder)


@contextmanager
def deployed_endpoint(folder: Path, **serving: Any) -> Iterator[DeployedEndpoint]:
    """An endpoint with one adapter, `handbook`."""
    endpoint = DeployedEndpoint(folder, **serving)
    with TestClient(endpoint.api, raise_server_exceptions=False) as client:
        endpoint.client = client
        yield endpoint
    endpoint.model.go.set()
    endpoint.replica.close()
