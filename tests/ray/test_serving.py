"""The endpoint on a real cluster: curl and the openai client get the answers that the engine gives without HTTP."""

import hashlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from exam_fixtures import write_training_set
from random_adapter import write_random_adapter

from ray_ft import artifacts
from ray_ft.artifacts import Endpoint, TunedModel
from ray_ft.config import ServingConfig
from ray_ft.engines import GenerateRequest, LoadedModel, TransformersEngine
from ray_ft.errors import ConfigError, ModelError
from ray_ft.retrievers import BM25
from ray_ft.serving.deploy import app, deploy, shutdown
from ray_ft.serving.passages import PassageSet
from ray_ft.serving.stopping import drain
from ray_ft.strategies import LoRA

pytestmark = pytest.mark.ray

BASE, TUNED = "builtin:tiny", "handbook.v1"
QUESTIONS = ["What does `join` do?", "How is a lock released?", "日本語?"]
MAX_NEW_TOKENS = 1900


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def adapters(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One adapter made by PEFT, with random weights that are not zero."""
    return {TUNED: write_random_adapter(tiny_model_path, tmp_path_factory.mktemp("adapters") / "handbook", seed=1)}


@pytest.fixture(scope="module")
def endpoint(
    ray_cluster: None, tiny_model_path: str, adapters: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """It has passages, whose training set has gone since it was started."""
    prepared = tmp_path_factory.mktemp("prepared") / "data"
    write_training_set(prepared)
    serving = ServingConfig(port=free_port(), max_new_tokens=MAX_NEW_TOKENS)
    made = start(tiny_model_path, adapters, serving, PassageSet(str(prepared), TUNED, BM25(), 2, 8))
    shutil.rmtree(prepared)
    yield made
    shutdown()


def start(
    base_path: str, adapters: dict[str, str], serving: ServingConfig, passages: PassageSet | None = None
) -> Endpoint:
    return deploy(
        base_path=base_path,
        base_name=BASE,
        adapters=adapters,
        engine=TransformersEngine(),
        serving=serving,
        blocking=False,
        roots=[Path(folder).parent for folder in adapters.values()],
        passages=passages,
    )


@pytest.fixture(scope="module")
def engine_model(tiny_model_path: str, adapters: dict[str, str]) -> LoadedModel:
    return TransformersEngine().load(tiny_model_path, adapters)


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0)


def curl(*arguments: str) -> str:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


def user(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("model", [BASE, TUNED])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 11}])
def test_served_chats_equal_what_the_engine_generates(
    client: openai.OpenAI, engine_model: LoadedModel, model: str, sampling: dict[str, Any]
) -> None:
    for question in QUESTIONS:
        expected = engine_model.generate([
            GenerateRequest(
                engine_model.apply_chat_template(user(question)),
                adapter=None if model == BASE else model,
                max_new_tokens=20,
                **sampling,
            )
        ])[0]  # fmt: skip
        whole = client.chat.completions.create(model=model, messages=user(question), max_tokens=20, **sampling)
        assert whole.choices[0].message.content == expected.text
        assert whole.choices[0].finish_reason == expected.finish_reason
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (
            expected.num_prompt_tokens,
            expected.num_completion_tokens,
        )
        with client.chat.completions.create(
            model=model,
            messages=user(question),
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
            **sampling,
        ) as stream:
            chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected.text
        assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("model", [BASE, TUNED])
def test_served_completions_equal_what_the_engine_generates(
    client: openai.OpenAI, engine_model: LoadedModel, model: str
) -> None:
    prompts = ["def release(", "import "]
    adapter = None if model == BASE else model
    expected = engine_model.generate([GenerateRequest(p, adapter=adapter, max_new_tokens=15) for p in prompts])
    whole = client.completions.create(model=model, prompt=prompts, max_tokens=15)
    assert [choice.text for choice in whole.choices] == [result.text for result in expected]
    texts = ["", ""]
    for chunk in client.completions.create(model=model, prompt=prompts, max_tokens=15, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [result.text for result in expected]


def test_the_adapter_answers_unlike_its_base(client: openai.OpenAI) -> None:
    base, tuned = (client.completions.create(model=m, prompt="def release(", max_tokens=9) for m in (BASE, TUNED))
    assert base.choices[0].text != tuned.choices[0].text
    assert base.system_fingerprint != tuned.system_fingerprint


def test_requests_at_once_get_their_own_answers(endpoint: Endpoint, engine_model: LoadedModel) -> None:
    import asyncio

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0) as client:
            answers = await asyncio.gather(*(
                client.completions.create(model=(BASE, TUNED)[i % 2], prompt=f"def f{i}(", max_tokens=10)
                for i in range(24)
            ))  # fmt: skip
        return [answer.choices[0].text for answer in answers]

    requests = [GenerateRequest(f"def f{i}(", adapter=(None, TUNED)[i % 2], max_new_tokens=10) for i in range(24)]
    assert asyncio.run(all_at_once()) == [result.text for result in engine_model.generate(requests)]


def test_curl_lists_models_and_asks_them(endpoint: Endpoint) -> None:
    assert [m["id"] for m in json.loads(curl(f"{endpoint.url}/v1/models"))["data"]] == [BASE, TUNED]
    assert json.loads(curl(f"{endpoint.url}/health"))["status"] == "ok"
    body = {"model": TUNED, "messages": user("Hello"), "max_tokens": 4}
    ask = [f"{endpoint.url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d"]
    answer = json.loads(curl(*ask, json.dumps(body)))
    streamed = curl("-N", *ask, json.dumps(body | {"stream": True}))
    lines = [line.removeprefix("data: ") for line in streamed.splitlines() if line]
    assert lines[-1] == "[DONE]"
    pieces = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]]
    assert "".join(pieces) == answer["choices"][0]["message"]["content"]


def test_the_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [BASE, TUNED]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=user("Hello"))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model=BASE, prompt=" lock" * 3000, max_tokens=5)
    assert long.value.code == "context_length_exceeded"
    assert "2048" in str(long.value)
    with pytest.raises(openai.BadRequestError) as unsupported:
        client.completions.create(model=BASE, prompt="Hello", suffix="bye")
    assert unsupported.value.param == "suffix"


def test_what_only_the_models_process_knows_is_told(client: openai.OpenAI, endpoint: Endpoint) -> None:
    answer = client.chat.completions.create(
        model=TUNED, messages=user("Hello"), logprobs=True, top_logprobs=2, max_tokens=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert answer.usage is not None
    assert len(logprobs.content or ()) == answer.usage.completion_tokens
    assert (answer.model_extra or {})["ray_ft"]["engine"] == "transformers"
    tokens = httpx.post(f"{endpoint.url}/tokenize", json={"prompt": "the rope"}).json()["tokens"]
    text = httpx.post(f"{endpoint.url}/detokenize", json={"tokens": tokens}).json()["prompt"]
    assert text.endswith("the rope")


def test_passages_come_from_a_process_of_their_own(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=TUNED, messages=user("What does widget07a do?"), max_tokens=4, extra_body={"retrieval": {"k": 1}}
    )
    [source] = answer.model_extra["ray_ft"]["sources"]  # type: ignore[index]
    assert source["document"] == "guide/07.md"
    assert source["text"].startswith("widget07a: ")


def test_a_browser_finds_the_playground(endpoint: Endpoint) -> None:
    page = httpx.get(f"{endpoint.url}/", headers={"accept": "text/html"}, follow_redirects=True)
    assert (page.status_code, page.url.path) == (200, "/playground")
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_unknown_routes_answer_in_json(endpoint: Endpoint) -> None:
    response = httpx.get(f"{endpoint.url}/v1/embeddings")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_leaves_stops_the_work(endpoint: Endpoint, streaming: bool) -> None:
    def num_open() -> int:
        return int(httpx.get(f"{endpoint.url}/health").json()["num_open"])

    # 1,900 tokens take far longer than the two seconds allowed below
    body = {"model": BASE, "prompt": "def", "max_tokens": MAX_NEW_TOKENS, "stream": streaming}
    if streaming:
        with httpx.stream("POST", f"{endpoint.url}/v1/completions", json=body, timeout=60) as response:
            lines = response.iter_lines()  # kept: the connection closes with it
            next(lines)
            assert num_open() == 1
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{endpoint.url}/v1/completions", json=body, timeout=1)
    deadline = time.monotonic() + 2
    while num_open() and time.monotonic() < deadline:
        pass
    assert num_open() == 0


def test_a_copy_of_the_model_that_starts_again_has_what_was_deployed(
    endpoint: Endpoint, client: openai.OpenAI, tiny_model_path: str, adapters: dict[str, str]
) -> None:
    """Also where the folder holds another run's weights by then."""
    import ray
    from ray.util import list_named_actors

    folder = Path(write_random_adapter(tiny_model_path, Path(adapters[TUNED]).parent / "support", seed=5))
    body = {"lora_name": "support", "lora_path": "support"}
    loaded = httpx.post(f"{endpoint.url}/v1/load_lora_adapter", json=body, timeout=60)
    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'support' added successfully.")
    before = client.completions.create(model="support", prompt="def release(", max_tokens=9)
    write_random_adapter(tiny_model_path, folder, seed=6)
    (name,) = (a["name"] for a in list_named_actors(all_namespaces=True) if "#model#" in a["name"])
    ray.kill(ray.get_actor(name, namespace="serve"))
    again = client.with_options(max_retries=30).completions.create(model="support", prompt="def release(", max_tokens=9)
    assert again.choices[0].text == before.choices[0].text
    assert again.system_fingerprint == before.system_fingerprint
    unloaded = httpx.post(f"{endpoint.url}/v1/unload_lora_adapter", json={"lora_name": "support"}, timeout=60)
    assert unloaded.status_code == 200
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="support", prompt="x", max_tokens=1)


def test_a_second_endpoint_is_refused(endpoint: Endpoint, tiny_model_path: str) -> None:
    with pytest.raises(ConfigError, match="Ray Serve is already running"):
        start(tiny_model_path, {}, ServingConfig(port=free_port()))
    port = urlsplit(endpoint.url).port
    assert port is not None
    with pytest.raises(ConfigError, match=r"serving\.name: an endpoint 'ray_ft' runs already"):
        start(tiny_model_path, {}, ServingConfig(port=port))
    with pytest.raises(ConfigError, match=r"serving\.route_prefix: / is taken by the endpoint 'ray_ft'"):
        start(tiny_model_path, {}, ServingConfig(port=port, name="another"))


@pytest.mark.long
def test_an_endpoint_beside_another_has_its_own_path_keys_and_end(
    endpoint: Endpoint, tiny_model_path: str, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{"id": "one", "sha256": hashlib.sha256(b"one").hexdigest()}]}))
    port = urlsplit(endpoint.url).port
    assert port is not None
    serving = ServingConfig(port=port, name="beside", route_prefix="/beside", keys_file=str(keys))
    url = start(tiny_model_path, {}, serving).url
    assert url == f"{endpoint.url}/beside"
    assert httpx.get(f"{url}/ready").status_code == 200
    assert httpx.get(f"{url}/metrics").status_code == 401
    page = httpx.get(f"{url}/", headers={"accept": "text/html"}, follow_redirects=True)
    assert (page.status_code, page.url.path) == (200, "/beside/playground")
    denied = httpx.get(f"{url}/v1/models", headers={"x-request-id": "mine"})
    assert (denied.status_code, denied.headers.get_list("x-request-id")) == (401, ["mine"])
    with openai.OpenAI(base_url=f"{url}/v1", api_key="one", max_retries=0) as client:
        answer = client.completions.create(model=BASE, prompt="def", max_tokens=2)
        assert answer._request_id is not None
        assert "," not in answer._request_id  # of two headers
    shutdown("beside")
    assert httpx.get(f"{url}/ready").status_code == 404
    assert httpx.get(f"{endpoint.url}/ready").status_code == 200


def test_a_serve_file_builds_the_endpoint_of_a_run(
    ray_cluster: None, tiny_model_path: str, adapters: dict[str, str], tmp_path: Path
) -> None:
    from ray.serve import Application

    tuned = TunedModel(
        base_model=BASE, base_path=tiny_model_path, base_digest="", path=adapters[TUNED], is_adapter=True,
        strategy=LoRA(), metrics={}, steps=1, fingerprint="f",
    )  # fmt: skip
    artifacts.save(tuned, tmp_path / TUNED)
    config = tmp_path / "handbook.yaml"
    config.write_text(
        f"run_name: {TUNED}\nmodel: {{name: '{BASE}'}}\ndata: {{sources: [docs], recipes: [paragraph]}}\n"
    )
    built = app(
        {
            "config": str(config),
            "overrides": [f"output_dir={tmp_path}", "serving.num_gpus=1", "serving.open_access=true"],
        }
    )
    assert isinstance(built, Application)


def test_what_cannot_be_served_is_refused_before_anything_starts(
    ray_cluster: None, tiny_model_path: str, adapters: dict[str, str], tmp_path: Path
) -> None:
    foreign = Path(shutil.copytree(adapters[TUNED], tmp_path / "foreign"))
    note = {"base_model": "another", "base_digest": "0" * 16}
    (foreign / "ray_ft_base.json").write_text(json.dumps(note))
    with pytest.raises(ModelError, match=r"adapter 'x'.*belongs to another base: it was trained on another"):
        start(tiny_model_path, {"x": str(foreign)}, ServingConfig(port=free_port()))
    with pytest.raises(ConfigError, match=r"serving\.num_replicas: 99 x 1 CPU"):
        start(tiny_model_path, {}, ServingConfig(port=free_port(), num_replicas=99))


def test_an_endpoint_that_stops_lets_open_answers_end_and_turns_others_away(endpoint: Endpoint) -> None:
    """The last test of this file: the endpoint answers no more."""
    body = {"model": BASE, "prompt": "def", "max_tokens": 400}
    ends: list[str] = []
    late: list[httpx.Response] = []

    def stay(streaming: bool) -> None:
        response = httpx.post(f"{endpoint.url}/v1/completions", json=body | {"stream": streaming}, timeout=120)
        ends.append(response.text[-14:] if streaming else str(response.json()["choices"][0]["finish_reason"]))

    def come_late() -> None:
        while httpx.get(f"{endpoint.url}/ready").status_code == 200:
            pass
        late.append(httpx.post(f"{endpoint.url}/v1/completions", json=body, timeout=120))

    clients = [threading.Thread(target=stay, args=(i % 2 == 0,)) for i in range(8)]
    for client in clients:
        client.start()
    while httpx.get(f"{endpoint.url}/health").json()["num_open"] < len(clients):
        pass
    clients.append(threading.Thread(target=come_late))
    clients[-1].start()
    drain(ServingConfig(drain_seconds=120))
    for client in clients:
        client.join(60)
    assert sorted(ends) == sorted(["data: [DONE]\n\n", "length"] * 4)
    assert (late[0].status_code, late[0].json()["error"]["code"]) == (503, "shutting_down")
    assert "retry-after" in late[0].headers
