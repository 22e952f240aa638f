"""What is broken, oversized or hostile is refused with a cause, never answered by a server error."""

import asyncio
import json
import random
import tracemalloc
from collections import Counter
from typing import Any

import pytest
from fastapi.testclient import TestClient
from scripted_api import ScriptedApi, chat, completion, error_of, post
from scripted_model import ScriptedModel

from ray_ft.serving.api.reading import MAX_BODY_BYTES

JSON = {"content-type": "application/json"}


# --- bodies that are no JSON, or no text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ('"messages": [{"role": "user", "content": "cut \\ud83d"}]', "messages[0].content"),
        ('"messages": [{"role": "user", "content": "cut \\udc00 more"}]', "messages[0].content"),
        ('"messages": [{"role": "user", "content": "x", "name": "\\ud83d"}]', "messages[0].name"),
        ('"model": "\\ud83d"', "model"),
        ('"stop": ["a", "\\ud83d"]', "stop[1]"),
        ('"zeal": {"a": ["\\ud83d"]}', "zeal.a[0]"),
        ('"\\ud83d": 1', ""),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_where_it_stands(client: TestClient, field: str, param: str) -> None:
    body = f'{{"model": "org/handbook", "messages": [{{"role": "user", "content": "x"}}], {field}}}'
    response = client.post("/v1/chat/completions", content=body, headers=JSON)
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, param or None)
    assert "invalid Unicode" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"prompt": "\xff"}', b'{"seed": NaN}', b'{"seed": -Infinity}',
        b'{"seed": ' + b"9" * 5000 + b"}", b'{"a":' * 100_000, b"[" * 100_000, b'{"a": "\x00"}', b"{} {}",
        b"{'model': 1}",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    for path in ("/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"):
        response = client.post(path, content=body, headers=JSON)
        assert response.status_code == 400
        assert "not valid JSON" in error_of(response)["message"]


@pytest.mark.parametrize("field", ['"model": "builtin:tiny", "prompt": "b"', f'"seed": {"9" * 4000}', '"seed": -5'])
def test_odd_but_valid_json_is_answered(client: TestClient, field: str) -> None:
    body = f'{{"model": "org/handbook", "prompt": "a", "unknown": 1e999, {field}}}'
    assert client.post("/v1/completions", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize("value", ["1e999", "9" * 4000, "-0.5e-999", "true", "null", '"1"', "[]", "{}", "1.0"])
@pytest.mark.parametrize("name", ["temperature", "top_p", "max_tokens", "n", "seed", "top_k", "logit_bias", "stop"])
def test_no_number_breaks_the_server(client: TestClient, name: str, value: str) -> None:
    body = f'{{"model": "org/handbook", "prompt": "a", "{name}": {value}}}'
    response = client.post("/v1/completions", content=body, headers=JSON)
    assert response.status_code == 200 or (response.status_code == 400 and error_of(response)["param"] == name)


# --- length -----------------------------------------------------------------------------------------------------------


class Upload:
    """A body that arrives in pieces; counts those that were asked for."""

    def __init__(self, num_pieces: int, piece: bytes) -> None:
        self.num_pieces, self.piece = num_pieces, piece
        self.num_read = 0
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        if self.num_read == self.num_pieces:
            await asyncio.Event().wait()  # the client stays
        self.num_read += 1
        return {"type": "http.request", "body": self.piece, "more_body": self.num_read < self.num_pieces}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def go(self, api: Any, *headers: tuple[bytes, bytes]) -> int:
        asyncio.run(self.answered_by(api, "/v1/completions", *headers))
        status: int = self.sent[0]["status"]
        return status

    async def answered_by(self, api: Any, path: str, *headers: tuple[bytes, bytes]) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"content-type", b"application/json"), *headers], "client": ("c", 1), "server": ("s", 2),
        }  # fmt: skip
        await api(scope, self.receive, self.send)


def test_a_body_whose_length_says_too_much_is_not_read(api: Any) -> None:
    upload = Upload(60, b"x" * 2**20)
    assert upload.go(api, (b"content-length", b"62914560")) == 413
    assert upload.num_read == 0
    assert (b"connection", b"close") in upload.sent[0]["headers"]
    assert Upload(1, b"{").go(api, (b"content-length", b"9" * 40)) == 413


def test_a_body_of_unknown_length_is_read_up_to_the_limit(api: Any) -> None:
    upload = Upload(1000, b"x" * 2**20)
    tracemalloc.start()
    assert upload.go(api) == 413
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert upload.num_read == MAX_BODY_BYTES // 2**20 + 1
    assert most < 4 * MAX_BODY_BYTES


def test_a_body_up_to_the_limit_is_read(client: TestClient) -> None:
    body = json.dumps(completion(prompt="x")).encode()
    padded = body + b" " * (MAX_BODY_BYTES - len(body))
    assert client.post("/v1/completions", content=padded, headers=JSON).status_code == 200
    assert client.post("/v1/completions", content=padded + b" ", headers=JSON).status_code == 413


# --- headers, methods, paths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["text/plain", "", "multipart/form-data; boundary=x", "application/xml"])
def test_other_content_types_are_refused(client: TestClient, content_type: str) -> None:
    response = client.post("/v1/completions", content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 415
    error_of(response)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json"])
def test_json_by_any_name_is_read(client: TestClient, content_type: str) -> None:
    body = json.dumps(completion(), indent=1).replace("\n", "\r\n").encode()
    assert client.post("/v1/completions", content=body, headers={"content-type": content_type}).status_code == 200


def test_heads_are_answered_and_other_methods_name_those_that_are(client: TestClient) -> None:
    assert client.head("/health").status_code == 200
    assert client.head("/v1/models/org/handbook").status_code == 200
    response = client.put("/v1/models")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    error_of(response)


def test_other_origins_are_given_nothing(client: TestClient) -> None:
    asked = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    for response in (client.options("/v1/chat/completions", headers=asked), client.get("/health", headers=asked)):
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses", "/v1/models/%ed%a0%bd", "/%00"])
def test_what_is_not_there_is_missing_in_json(client: TestClient, path: str) -> None:
    for response in (client.get(path), client.post("/v1/embeddings", json={})):
        assert response.status_code == 404
        error_of(response)


def test_a_request_has_an_id_the_clients_own_where_it_gives_one(client: TestClient) -> None:
    given = post(client, chat()).headers["x-request-id"]
    assert given.startswith("req_")
    assert client.get("/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for odd in ("x" * 129, "a b", "é"):
        sent = client.get("/nowhere", headers={"x-request-id": odd.encode()}).headers["x-request-id"]
        assert sent.startswith("req_")


def test_a_bug_is_not_asked_for_again(api: Any, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.serving.api.routes.provenance", lambda *_: 1 / 0)
    response = post(TestClient(api, raise_server_exceptions=False), chat())
    assert (response.status_code, response.headers["x-should-retry"]) == (500, "false")
    assert error_of(response)["code"] == "internal_error"


# --- clients that go away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_of_a_client_that_has_gone_is_cancelled(
    scripted: ScriptedApi, api: Any, model: ScriptedModel, stream: bool
) -> None:
    submitted = asyncio.Event()
    loop: list[Any] = []

    def submit(request: Any, deliver: Any) -> Any:  # begins an answer that never ends
        loop[0].call_soon_threadsafe(submitted.set)
        return model._count_cancelled

    model.submit = submit  # type: ignore[method-assign]

    class Leaving(Upload):
        async def receive(self) -> Any:
            if self.num_read:
                await submitted.wait()
                return {"type": "http.disconnect"}
            loop.append(asyncio.get_running_loop())
            return await super().receive()

    upload = Leaving(1, json.dumps(completion(stream=stream)).encode())
    asyncio.run(upload.answered_by(api, "/v1/completions"))
    scripted.begin(ScriptedModel())  # waits for what the replica still does
    assert model.cancelled == 1


def test_a_client_that_goes_while_it_sends_breaks_nothing(api: Any, model: ScriptedModel) -> None:
    class Breaking(Upload):
        async def receive(self) -> Any:
            return await super().receive() if self.num_read == 0 else {"type": "http.disconnect"}

    assert Breaking(2, b'{"model": ').go(api) == 499
    assert model.requests == []


# --- anything at all --------------------------------------------------------------------------------------------------

NAMES = (
    "model", "messages", "prompt", "n", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p",
    "stop", "seed", "stream", "stream_options", "logprobs", "top_logprobs", "logit_bias", "tools", "tool_choice",
    "response_format", "guided_json", "echo", "best_of", "suffix", "user", "chat_template_kwargs", "ignore_eos",
    "presence_penalty", "parallel_tool_calls", "tokens", "add_special_tokens", "日本", "", "a\nb", "__class__",
)  # fmt: skip
TEXTS = (
    "",
    "a",
    "user",
    "org/handbook",
    "text",
    "function",
    "json_schema",
    "required",
    "é\u0000\u2028",
    "x" * 300,
)
NUMBERS = (0, 1, -1, 2, 0.5, 1e308, 2**63, 10**30, -0.0, 1.5, float("nan"), float("inf"))
KEYS = (
    "role", "content", "type", "text", "function", "name", "parameters", "schema", "json_schema", "include_usage", "id",
    "tool_calls", "arguments", "$ref", "tool_call_id", "5", "properties",
)  # fmt: skip


def anything(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 4 else 5)
    if kind < 2:
        return rng.choice(TEXTS)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice((None, True, False))
    if kind < 6:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): anything(rng, depth + 1) for _ in range(rng.randrange(5))}


def mutated(rng: random.Random, value: Any) -> Any:
    """The value with one of its parts replaced by anything."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.8:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        copy: Any = value.copy()
        copy[key] = mutated(rng, value[key])
        return copy
    return anything(rng)


TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
WHOLE: tuple[tuple[str, Any], ...] = (
    (
        "/v1/chat/completions",
        chat(
            messages=[
                {"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]},
                {"role": "assistant", "content": None,
                 "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "c"},
            ],
            tools=[TOOL], tool_choice="auto", logprobs=True, top_logprobs=2, stop=["q"], logit_bias={"1": 2}, n=2,
            chat_template_kwargs={"a": 1}, stream=True, stream_options={"include_usage": True},
        ),
    ),
    ("/v1/chat/completions", chat(response_format={"type": "json_schema", "json_schema": {"schema": {"a": "b"}}})),
    ("/v1/completions", completion(prompt=["a", "b"], n=2, logprobs=1, temperature=0.5, top_p=0.5)),
    ("/v1/completions", completion(prompt=[[1, 2], [3]], echo=True, stream=True)),
    ("/tokenize", {"model": "builtin:tiny", "prompt": "a", "return_token_strs": True}),
    ("/tokenize", {"messages": [{"role": "user", "content": "a"}]}),
    ("/detokenize", {"tokens": [1, 2]}),
)  # fmt: skip


def fuzzed(rng: random.Random) -> tuple[str, bytes]:
    path, body = rng.choice(WHOLE)
    if rng.random() < 0.6:
        body = mutated(rng, body)
    if isinstance(body, dict) and rng.random() < 0.4:
        body = body | {rng.choice(NAMES): anything(rng)}
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode()
    if rng.random() < 0.2:  # bytes changed, cut or repeated
        at = rng.randrange(len(text) + 1)
        rubbish = rng.choice((rng.randbytes(3), b"\\ud800", b"NaN", b"[" * 500))
        text = rng.choice((text[:at], text[:at] + rubbish + text[at:], text[at:] + text))
    return path, text


async def answered(api: Any, path: str, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the reply, with nothing of a client's or a server's in between."""
    upload = Upload(1, body)
    await upload.answered_by(api, path)
    start, *rest = upload.sent
    return start["status"], dict(start["headers"]), b"".join(message.get("body", b"") for message in rest)


def test_two_thousand_broken_bodies_are_answered_or_refused(api: Any, model: ScriptedModel) -> None:
    rng = random.Random(11)
    statuses: Counter[int] = Counter()

    async def go() -> None:
        for _ in range(2000):
            path, body = fuzzed(rng)
            status, headers, reply = await answered(api, path, body)
            statuses[status] += 1
            assert status in (200, 400, 404), (path, body, reply)
            if status != 200:
                assert set(json.loads(reply)["error"]) == {"message", "type", "param", "code"}
            elif headers[b"content-type"].startswith(b"text/event-stream"):
                assert reply.endswith(b"data: [DONE]\n\n"), (path, body)

    asyncio.run(go())
    assert min(statuses[200], statuses[400]) > 500, statuses
