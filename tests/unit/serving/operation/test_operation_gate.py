"""Who gets in, with which id, what is logged and counted of it, and how it ends: the API behind its gate."""

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from catalogue import Catalogue
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from scripted_model import ScriptedModel

from ray_ft.config import ServingConfig
from ray_ft.serving.access.keys import NOBODY, SCOPES, ApiKey, KeyRing
from ray_ft.serving.access.record import CURRENT, RequestRecord
from ray_ft.serving.adapters import ServedModel
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.exchange import Ask, Backend, Piece, Status
from ray_ft.serving.operation.gate import OPEN_ROUTES
from ray_ft.serving.operation.operate import Operations, WatchedKeys
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.replica.replica import ModelReplica

CATALOGUE = Catalogue((
    ServedModel("base", None, None, "a" * 12, 1),
    ServedModel("support", "support", "base", "b" * 12, 2),
    ServedModel("secret", "secret", "base", "c" * 12, 3),
))  # fmt: skip


def key(name: str, **rights: Any) -> ApiKey:
    return ApiKey(name, hashlib.sha256(name.encode()).hexdigest(), **rights)


RING = KeyRing((
    key("all"), key("some", adapters=("support",)), key("boss", scopes=SCOPES), key("scraper", scopes=("metrics",)),
    key("admin", scopes=("admin",), adapters=()), key("poor", tokens_per_minute=30), key("narrow", max_concurrent=2),
))  # fmt: skip
NO_KEYS = KeyRing()
REPOSITORY = Path(__file__).parents[4]


def application(backend: Backend, ring: KeyRing = RING, **serving: Any) -> tuple[Any, Operations]:
    operations = Operations(CATALOGUE, backend, ServingConfig(max_new_tokens=20, **serving), ring)
    api = create_api(CATALOGUE, operations.backend)
    operations.install(api)
    return api, operations


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(max_seq_len=50)


@pytest.fixture
def backend(model: ScriptedModel) -> Iterator[ModelReplica]:
    replica = ModelReplica(model, max_new_tokens=20)
    yield replica
    replica.close()


@pytest.fixture
def client(backend: ModelReplica) -> Iterator[TestClient]:
    with TestClient(application(backend)[0], raise_server_exceptions=False) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "base", "prompt": "once", "seed": 7} | fields


def ask(client: TestClient, secret: str, **fields: Any) -> Any:
    return client.post("/v1/completions", json=completion(**fields), headers=bearer(secret))


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(""), {"authorization": "all"}, {"api-key": "all"}])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/completions", "/metrics", "/docs", "/nowhere"])
def test_without_a_key_nothing_is_answered(client: TestClient, headers: dict[str, str], path: str) -> None:
    for method in ("GET", "POST"):
        response = client.request(method, path, headers=headers)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert response.json()["error"]["code"] == "invalid_api_key"


def test_the_client_raises_its_own_errors(client: TestClient) -> None:
    wrong = openai.OpenAI(base_url="http://testserver/v1", api_key="wrong", http_client=client, max_retries=0)
    with pytest.raises(openai.AuthenticationError) as denied:
        wrong.models.list()
    assert denied.value.code == "invalid_api_key"
    assert denied.value.request_id is not None
    assert denied.value.request_id == denied.value.response.headers["x-request-id"]
    right = openai.OpenAI(base_url="http://testserver/v1", api_key="all", http_client=client, max_retries=0)
    assert right.completions.create(model="base", prompt="once", seed=7).choices[0].text == "None 7 0.0: once"


def test_probes_need_no_key_and_tell_no_adapters(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "models": ["base"], "num_open": 0}
    assert client.get("/ready").json() == {"status": "ready"}


@pytest.mark.parametrize(("secret", "status"), [("all", 403), ("scraper", 200), ("admin", 200), ("boss", 200)])
def test_metrics_have_a_scope_of_their_own(client: TestClient, secret: str, status: int) -> None:
    response = client.get("/metrics", headers=bearer(secret))
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"]["code"] == "insufficient_scope"
    assert client.get("/v1/models", headers=bearer("scraper")).status_code == 403


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/adapters/support/aliases", "/v1/experiments"])
def test_what_changes_the_endpoint_is_for_admins(client: TestClient, path: str) -> None:
    assert [client.post(path, json={}, headers=bearer(k)).status_code == 403 for k in ("all", "some", "admin")] == [
        True, True, False,
    ]  # fmt: skip
    assert [client.get(path, headers=bearer(k)).status_code == 403 for k in ("all", "some", "boss")] == [
        False, True, False,
    ]  # fmt: skip


def test_feedback_is_given_by_all_and_read_by_admins(client: TestClient) -> None:
    def statuses(method: str) -> list[int]:
        paths = ("/v1/feedback", "/v1/feedback/")
        return [client.request(method, p, headers=bearer(k)).status_code for p in paths for k in ("all", "admin")]

    assert [status == 403 for status in statuses("GET")] == [True, False] * 2
    assert 403 not in statuses("POST")


@pytest.mark.parametrize("name", ["secret", "base:secret", "nobody"])
def test_a_forbidden_adapter_does_not_exist(client: TestClient, model: ScriptedModel, name: str) -> None:
    listed = client.get("/v1/models", headers=bearer("some")).json()["data"]
    assert [row["id"] for row in listed] == ["base", "support"]
    asked = [ask(client, "some", model=name), ask(client, "some", model=name, stream=True)]
    for response in (*asked, client.get(f"/v1/models/{name}", headers=bearer("some"))):
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (404, "model_not_found")
        assert error["message"] == f"The model {name!r} does not exist; served are: base, support"
    assert model.requests == []
    assert ask(client, "some", model="support").status_code == 200


def test_a_forbidden_adapter_is_refused_however_a_route_came_by_its_name(
    backend: ModelReplica, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_ft.serving.api.routes.visible", lambda catalogue: catalogue)
    with TestClient(application(backend)[0]) as client:
        for stream in (False, True):
            response = ask(client, "some", model="secret", stream=stream)
            assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert model.requests == []


def test_without_any_keys_everyone_may_ask_everything(backend: ModelReplica) -> None:
    with TestClient(application(backend, NO_KEYS)[0]) as client:
        assert client.post("/v1/completions", json=completion(model="secret")).status_code == 200
        assert client.get("/metrics").status_code == 200
        assert client.get("/health").json()["models"] == ["base", "support", "secret"]


def test_what_the_server_asks_on_its_own_account_is_no_keys_matter(backend: ModelReplica, model: ScriptedModel) -> None:
    request = RequestRecord("id", RING.find("some") or NOBODY)
    shadow = Ask(
        adapter="secret", messages=None, prompts=("once",), n=1, max_new_tokens=5, temperature=0.0, top_p=1.0, stop=(),
        seed=7, is_background=True,
    )  # fmt: skip

    async def go() -> Any:
        token = CURRENT.set(request)
        try:
            return await application(backend)[1].backend.answer(shadow)
        finally:
            CURRENT.reset(token)

    [piece] = asyncio.run(go())
    assert piece.text == "secret 7 0.0: once"
    assert (request.asks, model.requests[0].tenant) == ([], "")


def test_keys_wait_in_lines_of_their_own(client: TestClient, model: ScriptedModel) -> None:
    for secret in ("all", "some"):
        ask(client, secret)
    assert [request.tenant for request in model.requests] == ["all", "some"]


def test_a_key_that_is_taken_out_of_the_file_is_refused_and_a_broken_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    now = 0.0
    monkeypatch.setattr("ray_ft.serving.operation.operate.time.monotonic", lambda: now)

    def write(*names: str) -> None:
        path.write_text(json.dumps({"keys": [{"id": n, "sha256": key(n).sha256} for n in names]}))

    write("one", "two")
    watched = WatchedKeys(KeyRing((key("one"), key("two"), key("RAY_FT_API_KEY"))), str(path))
    write("two")
    assert watched().find("one") is not None  # not looked at with every request
    for later, spoil in ((10.0, None), (20.0, lambda: path.write_text("{")), (30.0, path.unlink)):
        now = later
        if spoil is not None:
            spoil()
        ring = watched()
        assert [ring.find(name) is not None for name in ("one", "two", "RAY_FT_API_KEY")] == [False, True, True]


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_key_that_has_used_its_tokens_is_told_when_to_come_back(client: TestClient, model: ScriptedModel) -> None:
    assert ask(client, "poor", max_tokens=20).status_code == 200  # 21 taken, 5 used
    assert ask(client, "poor", max_tokens=20).status_code == 200
    response = ask(client, "poor", max_tokens=20, n=2, stream=True)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 15 < int(response.headers["retry-after"]) <= 60
    assert len(model.requests) == 2
    assert ask(client, "all").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_more_answers_than_there_may_be_are_refused_before_the_model_is_asked(
    backend: ModelReplica, model: ScriptedModel, stream: bool
) -> None:
    with TestClient(application(backend, max_open=5)[0]) as client:
        response = ask(client, "all", prompt=["once"] * 3, n=2, stream=stream)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "request_too_large")
        assert ask(client, "narrow", n=3, stream=stream).status_code == 400
        assert model.requests == []
        assert ask(client, "narrow", n=2, stream=stream).status_code == 200


# --- a model that takes its time --------------------------------------------------------------------------------------


class Held(Backend):
    """Answers with one word, and with the rest once it is let go; asks wait in the order in which they came."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked: list[Ask] = []
        self.closed = 0

    async def status(self) -> Status:
        return Status(50, 3, 1)

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        self.asked.append(ask)
        await self.go.wait()
        return [Piece(0, "all of it", "stop", 2, 3)]

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        self.asked.append(ask)
        try:
            yield []
            yield [Piece(0, "all ", None, 0, 1)]
            await self.go.wait()
            yield [Piece(0, "of it", "length", 2, 5)]
        finally:
            self.closed += 1


class Call:
    """One ASGI request, whose client stays until it is told to leave."""

    def __init__(self, api: Any, method: str, path: str, body: dict[str, Any] | None = None, key: str = "all") -> None:
        self.messages: list[Any] = []
        self.began = asyncio.Event()
        self._left = asyncio.Event()
        self._bodies = [json.dumps(body or {}).encode()]
        headers = [(b"content-type", b"application/json"), (b"authorization", f"Bearer {key}".encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": headers, "scheme": "http",
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        self.task = asyncio.create_task(api(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        if self._bodies:
            return {"type": "http.request", "body": self._bodies.pop(), "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)
        if message.get("body"):
            self.began.set()

    def leave(self) -> None:
        self._left.set()

    async def ended(self) -> tuple[int, str]:
        await asyncio.wait_for(self.task, 10)
        return self.messages[0]["status"], b"".join(m.get("body", b"") for m in self.messages).decode()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def test_a_full_endpoint_refuses_and_takes_in_again_when_answers_end() -> None:
    async def go() -> None:
        held = Held()
        api, _ = application(held, max_open=2)
        first = [Call(api, "POST", "/v1/completions", completion(stream=stream)) for stream in (False, True)]
        await until(lambda: len(held.asked) == 2)
        full = Call(api, "POST", "/v1/completions", completion())
        status, body = await full.ended()
        assert (status, json.loads(body)["error"]["code"], full.headers["retry-after"]) == (429, "queue_full", "1")
        held.go.set()
        assert [(await call.ended())[0] for call in first] == [200, 200]
        assert (await Call(api, "POST", "/v1/completions", completion()).ended())[0] == 200
        assert len(held.asked) == 3

    asyncio.run(go())


def test_a_drain_turns_new_requests_away_and_lets_open_ones_end() -> None:
    async def go() -> None:
        held = Held()
        api, operations = application(held)
        whole, streamed = (Call(api, "POST", "/v1/completions", completion(stream=s)) for s in (False, True))
        await streamed.began.wait()
        await until(lambda: len(held.asked) == 2)
        draining = asyncio.create_task(operations.drain(60))
        await asyncio.sleep(0)
        for method, path in (("GET", "/ready"), ("GET", "/v1/models"), ("POST", "/v1/completions")):
            late = Call(api, method, path, completion())
            status, body = await late.ended()
            assert (status, json.loads(body)["error"]["code"]) == (503, "shutting_down")
            assert int(late.headers["retry-after"]) >= 1
        assert (await Call(api, "GET", "/health").ended())[0] == 200
        status, page = await Call(api, "GET", "/metrics", key="scraper").ended()
        assert status == 200
        assert re.search(r"^ray_ft_serve_draining\{.*\} 1.0$", page, re.MULTILINE)
        assert not draining.done()
        held.go.set()
        status, body = await whole.ended()
        assert (status, json.loads(body)["choices"][0]["text"]) == (200, "all of it")
        assert (await streamed.ended())[1].endswith("data: [DONE]\n\n")
        assert await asyncio.wait_for(draining, 10) == 0
        assert len(held.asked) == 2

    asyncio.run(go())


def test_at_the_deadline_of_a_drain_streams_end_in_an_error_event_and_plain_answers_in_503() -> None:
    async def go() -> None:
        held = Held()
        api, operations = application(held)
        whole, streamed = (Call(api, "POST", "/v1/completions", completion(stream=s)) for s in (False, True))
        await streamed.began.wait()
        await until(lambda: len(held.asked) == 2)
        first = asyncio.create_task(operations.drain(60))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(operations.drain(0.01), 10) == 2
        status, body = await whole.ended()
        assert (status, json.loads(body)["error"]["code"], whole.headers["retry-after"]) == (503, "shutting_down", "1")
        status, body = await streamed.ended()
        last = json.loads(body.strip().splitlines()[-1].removeprefix("data: "))
        assert (status, last["error"]["code"]) == (200, "shutting_down")
        assert "[DONE]" not in body
        assert held.closed == 1
        assert await asyncio.wait_for(first, 10) == 2

    asyncio.run(go())


def test_ready_waits_for_a_model_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(Held):
        async def status(self) -> Status:
            await asyncio.Event().wait()
            raise AssertionError

    class Broken(Held):
        async def status(self) -> Status:
            raise RuntimeError("the replica died")

    async def go() -> None:
        monkeypatch.setattr("ray_ft.serving.operation.operate.PROBE_SECONDS", 0.01)
        for backend in (Loading(), Broken()):
            api, _ = application(backend)
            ready = Call(api, "GET", "/ready")
            status, body = await ready.ended()
            assert (status, json.loads(body)["error"]["code"]) == (503, "not_ready")
            assert "retry-after" in ready.headers
            assert (await Call(api, "GET", "/metrics", key="scraper").ended())[0] == 200

    asyncio.run(go())


def test_probes_do_not_wake_a_model_that_may_sleep() -> None:
    class Sleeping(Held):
        num_asked = 0

        async def status(self) -> Status:
            self.num_asked += 1
            return await super().status()

    async def go() -> None:
        for fewest, num_asked in ((0, 1), (None, 4)):
            backend = Sleeping()
            api, _ = application(backend, max_replicas=2, min_replicas=fewest)
            for path in ("/v1/models", "/health", "/ready", "/metrics"):
                assert (await Call(api, "GET", path, key="boss").ended())[0] == 200
            assert backend.num_asked == num_asked

    asyncio.run(go())


# --- ids and logs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc-123", "a" * 128])
def test_a_request_id_is_echoed(client: TestClient, given: str) -> None:
    for secret in ("all", "wrong"):
        response = client.get("/v1/models", headers=bearer(secret) | {"X-Request-Id": given})
        assert response.headers.get_list("x-request-id") == [given]
    assert response.json()["error"]["request_id"] == given


@pytest.mark.parametrize("given", ["", "two words", "a" * 129, "é"])
def test_an_id_that_is_none_is_replaced(client: TestClient, given: str) -> None:
    headers = [(b"x-request-id", given.encode()), (b"authorization", b"Bearer all")]
    ids = {client.get("/v1/models", headers=headers).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", id) for id in ids)


def test_an_error_in_a_stream_names_its_request(client: TestClient) -> None:
    body = completion(prompt="explode", stream=True)
    response = client.post("/v1/completions", json=body, headers=bearer("all") | {"x-request-id": "mine"})
    assert json.loads(response.text.strip().splitlines()[-1].removeprefix("data: "))["error"]["request_id"] == "mine"


class Lines(logging.Handler):
    """The access log, parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()
        self.lines.append(json.loads(record.getMessage()))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    log = logging.getLogger("ray_ft.access")
    before = log.level, log.propagate
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    log.level, log.propagate = before


def test_a_line_tells_of_a_request_what_an_operator_asks_and_never_its_words(client: TestClient, lines: Lines) -> None:
    prompt, secret = "the-prompts-own-words", "all"
    headers = bearer(secret) | {"x-request-id": "mine"}
    client.post("/v1/completions", json=completion(model="support", prompt=prompt, stream=True), headers=headers)
    client.post("/v1/completions", json=completion(model=prompt, max_tokens=1), headers=headers)
    client.get("/v1/models", headers=bearer("in-the-clear"))
    client.get(f"/{prompt}", headers=headers)
    answered, unknown, denied, lost = lines.lines
    assert 0 <= answered.pop("ttft_s") <= answered["duration_s"] < 10
    assert answered.pop("time") > 0
    del answered["duration_s"]
    assert answered == {
        "request_id": "mine", "key": "all", "method": "POST", "route": "/v1/completions", "status": 200,
        "refused": None, "models": [f"support@{'b' * 12}"], "finish": ["stop"], "prompt_tokens": 1,
        "completion_tokens": 4,
    }  # fmt: skip
    assert (unknown["status"], unknown["models"]) == (404, [])
    assert (denied["status"], denied["refused"], denied["key"]) == (401, "invalid_api_key", "")
    assert (lost["status"], lost["route"]) == (404, "other")
    assert prompt not in lines.text
    assert "in-the-clear" not in lines.text


def test_the_access_log_can_be_switched_off(backend: ModelReplica, lines: Lines) -> None:
    logging.getLogger("ray_ft.access").setLevel(logging.INFO)
    with TestClient(application(backend, access_log=False)[0]) as client:
        ask(client, "all")
    assert lines.lines == []


# --- metrics ----------------------------------------------------------------------------------------------------------


def series(page: str) -> dict[str, float]:
    """Samples by name and labels, without the process: `name{a="b"}`."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            assert sample.labels["process"]
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()) if k != "process")
            found[sample.name.removeprefix("ray_ft_serve_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_metrics_count_by_adapter_and_version(client: TestClient) -> None:
    ask(client, "all", model="support", prompt=["once", "twice"], n=2)
    ask(client, "all", model="support", stream=True, max_tokens=2)
    ask(client, "all", prompt="explode")
    ask(client, "all", model="nobody")
    ask(client, "wrong")
    found = series(client.get("/metrics", headers=bearer("scraper")).text)
    support = f'adapter="support",version="{"b" * 12}"'
    base = f'adapter="base",version="{"a" * 12}"'
    none = 'adapter="",version=""'

    def requests(model: str, code: int, finish: str, route: str = "/v1/completions") -> float:
        adapter, version = model.split(",")
        return found[f'requests_total{{{adapter},code="{code}",finish="{finish}",route="{route}",{version}}}']

    assert requests(support, 200, "stop") == requests(support, 200, "length") == requests(base, 500, "error") == 1
    assert requests(none, 404, "") == 1
    assert requests(none, 401, "", "other") == 1
    assert found[f"prompt_tokens_total{{{support}}}"] == 2 + 1
    assert found[f"completion_tokens_total{{{support}}}"] == 4 * 4 + 2
    assert found['key_tokens_total{key="all"}'] == 3 + 18
    assert found[f"ttft_seconds_count{{{support}}}"] == 1
    assert found[f"e2e_seconds_count{{{support}}}"] == 2
    assert found['rejected_total{reason="invalid_api_key"}'] == 1
    assert found["open_answers"] == found["open_tokens"] == found["draining"] == 0
    assert found["running"] == found["waiting"] == 0


def test_a_client_that_leaves_is_counted_with_what_it_was_told_and_its_work_ends() -> None:
    async def go() -> None:
        held = Held()
        api, _ = application(held)
        call = Call(api, "POST", "/v1/completions", completion(stream=True))
        await call.began.wait()
        page = (await Call(api, "GET", "/metrics", key="scraper").ended())[1]
        assert series(page)["open_answers"] == 1
        assert (series(page)["running"], series(page)["waiting"]) == (2, 1)
        call.leave()
        await asyncio.wait_for(call.task, 10)
        assert held.closed == 1
        found = series((await Call(api, "GET", "/metrics", key="scraper").ended())[1])
        base = f'adapter="base",version="{"a" * 12}"'
        assert found[f"cancelled_total{{{base}}}"] == found[f"completion_tokens_total{{{base}}}"] == 1
        assert found["open_answers"] == 0

    asyncio.run(go())


def test_models_beyond_a_number_share_their_series(backend: ModelReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.serving.operation.metrics.MAX_MODELS", 2)
    with TestClient(application(backend)[0]) as client:
        for name in ("base", "support", "secret", "base", "secret"):
            ask(client, "all", model=name)
        found = series(client.get("/metrics", headers=bearer("scraper")).text)
    counted = {name: n for name, n in found.items() if name.startswith("prompt_tokens_total")}
    assert [(re.findall(r'"(\w+)"', name)[0], n) for name, n in sorted(counted.items())] == [
        ("base", 2), ("other", 2), ("support", 1),
    ]  # fmt: skip


def test_routes_without_a_key_are_those_that_the_guides_name() -> None:
    guides = "".join((REPOSITORY / "docs" / "guides" / f"{name}.md").read_text() for name in ("serve", "playground"))
    assert all(f"`{route}`" in guides for route in OPEN_ROUTES)


def test_what_a_backend_can_beyond_asks_goes_to_it_untouched(backend: ModelReplica) -> None:
    _, operations = application(backend)
    assert operations.backend.close.__self__ is backend  # type: ignore[attr-defined]
