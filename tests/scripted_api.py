"""The API over a scripted model in this process, and what tests ask it."""

import json
from typing import Any

from catalogue import Catalogue
from scripted_model import ScriptedModel

from ray_ft.serving.adapters import ServedModel
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.replica.replica import ModelReplica

CONTEXT = 50  # words
MAX_NEW_TOKENS = 20

CATALOGUE = Catalogue((
    ServedModel("builtin:tiny", None, None, "aaaaaaaaaaaa", 1),
    ServedModel("org/handbook", "org/handbook", "builtin:tiny", "bbbbbbbbbbbb", 2),
))  # fmt: skip


class ScriptedApi:
    """The ASGI application, which is made once, and the replica behind it, which can be another one for each test."""

    def __init__(self) -> None:
        self.replica: Any = None
        self.app = create_api(CATALOGUE, self, engine={"engine": "scripted", "quantization": "none"})  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:  # it is the application's backend
        return getattr(self.replica, name)

    def begin(self, model: ScriptedModel) -> None:
        """Answer with this model from now on."""
        if self.replica is not None:
            self.replica.close()
        self.replica = ModelReplica(model, max_new_tokens=MAX_NEW_TOKENS)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "org/handbook", "messages": [{"role": "user", "content": "hello"}], "seed": 7} | fields


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "builtin:tiny", "prompt": "once", "seed": 7} | fields


def post(client: Any, body: dict[str, Any]) -> Any:
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    return client.post(path, json=body)


def events_of(response: Any) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def error_of(response: Any) -> dict[str, Any]:
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "\n" not in body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error
