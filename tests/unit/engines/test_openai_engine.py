"""The engine for OpenAI-style servers, against a small one that listens on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ray_ft.config import parse_config
from ray_ft.engines import OpenAIEngine, WriteRequest
from ray_ft.errors import ConfigError, GenerationError


class Handler(BaseHTTPRequestHandler):
    """Answers with the prompt in capitals; refuses "forbidden", is busy once for "busy", and knows one key."""

    seen: list[dict[str, Any]]
    busy: list[str]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(asked | {"path": self.path, "key": self.headers["Authorization"]})
        prompt = asked["messages"][-1]["content"]
        status = 401 if "wrong" in self.headers["Authorization"] else 400 if "forbidden" in prompt else 200
        if "busy" in prompt and not self.busy:
            self.busy.append(prompt)
            status = 429
        message = {"role": "assistant", "content": prompt.upper() if "silent" not in prompt else None}
        body: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        body |= {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        content = json.dumps(body if status == 200 else {"error": {"message": f"status {status}"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    seen: list[dict[str, Any]] = []
    handler = type("Bound", (Handler,), {"seen": seen, "busy": []})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/v1", seen
    httpd.shutdown()
    httpd.server_close()


def _write(url: str, requests: list[WriteRequest], **settings: Any) -> list[tuple[str, str]]:
    writer = OpenAIEngine(model="m", base_url=url, **settings).load_writer("")
    found = dict(writer.write(requests))
    return [(found[i].text, found[i].error) for i in range(len(requests))]


def test_every_request_is_answered_in_its_place(server: tuple[str, list[dict[str, Any]]]) -> None:
    url, seen = server
    assert _write(url, [WriteRequest(f"ask {i}") for i in range(20)]) == [(f"ASK {i}", "") for i in range(20)]
    assert {s["path"] for s in seen} == {"/v1/chat/completions"}
    assert {(s["model"], s["temperature"], s["max_tokens"]) for s in seen} == {("m", 0.0, 512)}


def test_a_system_prompt_goes_in_front_of_what_is_asked(server: tuple[str, list[dict[str, Any]]]) -> None:
    _write(server[0], [WriteRequest("ask", system="Be brief.")])
    system, user = server[1][0]["messages"]
    assert (system, user["content"]) == ({"role": "system", "content": "Be brief."}, "ask")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (
            "json_schema",
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}},
        ),
        ("json_object", {"type": "json_object"}),
        ("none", None),
    ],
)
def test_the_server_is_held_to_the_schema_in_the_way_it_knows(
    server: tuple[str, list[dict[str, Any]]], how: str, expected: Any
) -> None:
    url, seen = server
    _write(url, [WriteRequest("ask", schema='{"type": "object"}')], structured_output=how)
    assert seen[0].get("response_format") == expected


def test_one_refused_request_does_not_stop_the_others(server: tuple[str, list[dict[str, Any]]]) -> None:
    first, second, third = _write(server[0], [WriteRequest(p) for p in ("ask", "forbidden", "silent")])
    assert first == ("ASK", "")
    assert second[0] == ""
    assert "status 400" in second[1]
    assert third == ("", "the server gave no text")


def test_a_busy_server_is_asked_again(server: tuple[str, list[dict[str, Any]]]) -> None:
    assert _write(server[0], [WriteRequest("busy")]) == [("BUSY", "")]
    assert len(server[1]) == 2


def test_a_wrong_key_and_a_server_that_is_not_there_stop_with_one_line(
    server: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "wrong")
    with pytest.raises(GenerationError, match=r"/v1 \(model m\) does not answer: .*401") as refused:
        _write(server[0], [WriteRequest("ask")], api_key_variable="SECRET_KEY")
    assert "wrong" not in str(refused.value)
    with pytest.raises(GenerationError, match="does not answer: Connection error"):
        _write("http://127.0.0.1:9/v1", [WriteRequest("ask")], max_retries=0)


def test_it_can_be_the_generator() -> None:
    raw: dict[str, Any] = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": ["qa"]}}
    generator = {"name": "openai", "model": "big"}
    config = parse_config({**raw, "data": {**raw["data"], "generator": generator}})
    assert config.data.generator == OpenAIEngine(model="big")
    with pytest.raises(ConfigError, match=r"data\.generator\.model is required"):
        parse_config({**raw, "data": {**raw["data"], "generator": "openai"}})
