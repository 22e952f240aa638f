"""Two endpoints on one Ray Serve, side by side: ours over an engine that echoes, and the least that does the same.

python -m bench.answers.echo PORT FOLDER
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.engines import Deliver, Engine, EngineStatus, GenerateRequest, LoadedModel, TextDelta

PACE_SECONDS = 0.005
"""Between two words of a stream."""


class EchoModel(LoadedModel):
    """Answers with its prompt, whose bytes are its tokens; a stream brings it word by word."""

    max_seq_len = 2**20

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        text = request.prompt if isinstance(request.prompt, str) else self.detokenize(request.prompt)
        is_cancelled = threading.Event()
        if request.is_streamed:
            threading.Thread(target=self._say, args=(text, deliver, is_cancelled), daemon=True).start()
        else:
            deliver(TextDelta(text, "length", len(text), len(text)))
        return is_cancelled.set

    def _say(self, text: str, deliver: Deliver, is_cancelled: threading.Event) -> None:
        words, started = words_of(text), time.monotonic()
        for number, word in enumerate(words, 1):
            if is_cancelled.wait(max(0.0, started + number * PACE_SECONDS - time.monotonic())):
                return
            deliver(TextDelta(word, "length" if number == len(words) else None, len(text), number))

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], **kwargs: Any) -> str:
        return str(messages[-1]["content"])

    def token_ids(self, text: str) -> list[int]:
        return list(text.encode())

    def prompt_ids(self, prompt: str, *, adapter: str | None = None) -> list[int]:
        return self.token_ids(prompt)

    def detokenize(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        raise NotImplementedError

    def prompt_logprobs(self, prompts: Any, *, adapter: str | None, num_logprobs: int) -> list[Any]:
        raise NotImplementedError

    def load_adapter(self, name: str, folder: str) -> None:
        pass

    def unload_adapter(self, name: str) -> None:
        pass

    def status(self) -> EngineStatus:
        return EngineStatus()

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class EchoEngine(Engine):
    """Loads an `EchoModel`."""

    name: str = "echo"

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> LoadedModel:
        return EchoModel()


def words_of(text: str) -> list[str]:
    """The text in pieces that join to it."""
    return [word + " " for word in text.split(" ")]


class PlainModel:
    """The deployment that echoes, without anything of ours."""

    async def answer(self, text: str) -> str:
        return text

    async def stream(self, text: str) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number, word in enumerate(words_of(text), 1):
            await asyncio.sleep(max(0.0, started + number * PACE_SECONDS - loop.time()))
            yield word


def plain_application() -> Any:
    """FastAPI in an ingress deployment, and the model behind a handle."""
    from fastapi import FastAPI, Request
    from fastapi.responses import StreamingResponse
    from ray import serve

    api = FastAPI()

    @serve.deployment(name="plain-gateway", max_ongoing_requests=256)
    @serve.ingress(api)
    class PlainGateway:
        def __init__(self, model: Any) -> None:
            self._model = model

        @api.post("/v1/completions")
        async def complete(self, request: Request) -> Any:
            body = await request.json()
            if body.get("stream"):
                return StreamingResponse(self._events(body["prompt"]), media_type="text/event-stream")
            text = await self._model.answer.remote(body["prompt"])
            return {"object": "text_completion", "choices": [{"index": 0, "text": text}]}

        async def _events(self, text: str) -> AsyncIterator[str]:
            async for word in self._model.options(stream=True).stream.remote(text):
                yield f'data: {{"choices":[{{"index":0,"text":"{word}"}}]}}\n\n'
            yield "data: [DONE]\n\n"

    model = serve.deployment(PlainModel, name="plain-model", max_ongoing_requests=256).bind()
    return PlainGateway.bind(model)  # type: ignore[attr-defined]


def main() -> None:
    """Serve both until interrupted: ours below /ours, the other below /plain."""
    import ray
    from ray import serve

    from ray_ft.config import ServingConfig
    from ray_ft.serving.deploy import deploy

    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    (folder / "base").mkdir(parents=True, exist_ok=True)
    (folder / "base" / "config.json").write_text("{}")
    ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=4)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(plain_application(), name="plain", route_prefix="/plain")
    deploy(
        base_path=str(folder / "base"), base_name="base", adapters={}, engine=EchoEngine(),
        serving=ServingConfig(port=port, name="ours", route_prefix="/ours", max_new_tokens=4096), blocking=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
