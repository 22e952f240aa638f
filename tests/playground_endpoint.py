"""An endpoint on a port of this machine over a model whose answers come word by word, for a browser to ask."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from deployed_endpoint import AdapterModel, DeployedEndpoint, retrieval

from ray_ft.config import ServingConfig
from ray_ft.engines import Deliver, GenerateRequest
from ray_ft.serving.access.keys import ApiKey, KeyRing
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.operation.operate import Operations
from ray_ft.serving.passages import PassageSet

LONGEST_ANSWER = 200
KEY = "sesame"
EVERYBODY = KeyRing()
RING = KeyRing((ApiKey("reader", hashlib.sha256(KEY.encode()).hexdigest()),))


class PacedModel(AdapterModel):
    """After the first two words of an answer it waits until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.max_seq_len = 400
        self.go_on = threading.Event()
        self.go_on.set()
        self.stopped = threading.Event()  # an answer has been cancelled
        self.breaks = ""  # the version whose answers break off

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        deltas: list[Any] = []
        super().submit(request, deltas.append)
        cancelled = threading.Event()

        def say() -> None:
            for number, delta in enumerate(deltas):
                if number >= 2:
                    self.go_on.wait(timeout=60)
                if cancelled.is_set():
                    return self.stopped.set()
                if number == 2 and self.breaks and str(request.adapter).startswith(self.breaks):
                    return deliver(RuntimeError("the device is on fire"))
                deliver(delta)

        threading.Thread(target=say, daemon=True).start()
        return cancelled.set


class PlaygroundEndpoint(DeployedEndpoint):
    """As `ray-ft serve` builds it, without Ray."""

    url: str
    model: PacedModel

    def build(self, keys: KeyRing, passages: PassageSet | None = None) -> Any:
        """The application behind its gate."""
        operations = Operations(
            self.registry, self.desk, ServingConfig(max_new_tokens=LONGEST_ANSWER, access_log=False), keys
        )
        found = retrieval(operations.backend, passages)
        api = registry_api(self.desk, operations.backend, watch={}, retrieval=found)
        operations.install(api)
        return api

    @property
    def feedback(self) -> Path:
        """What was rated."""
        return self.registry.folder.parent / "feedback.jsonl"


@contextmanager
def playground_endpoint(
    folder: Path, *, keys: KeyRing = EVERYBODY, passages: PassageSet | None = None
) -> Iterator[PlaygroundEndpoint]:
    """An endpoint with the adapters `handbook` and `support`."""
    endpoint = PlaygroundEndpoint(
        folder, model=PacedModel(), adapters=("handbook", "support"), longest_answer=LONGEST_ANSWER
    )
    server = uvicorn.Server(uvicorn.Config(endpoint.build(keys, passages), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(timeout=0.01)
    endpoint.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield endpoint
    finally:
        endpoint.model.go_on.set()
        server.should_exit = True
        thread.join(timeout=20)
        endpoint.replica.close()
