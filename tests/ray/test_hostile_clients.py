"""Clients that are slow, half gone or send floods, over raw sockets: each gets its end, and others are answered."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from ray_ft import artifacts
from ray_ft.artifacts import Endpoint, TunedModel
from ray_ft.config import ServingConfig
from ray_ft.engines import TransformersEngine
from ray_ft.serving.deploy import deploy
from ray_ft.serving.stopping import shutdown
from ray_ft.strategies import Full

pytestmark = [pytest.mark.ray, pytest.mark.long]

BASE = "builtin:tiny"
OTHERS_SECONDS = 20.0
"""What an ordinary request may take beside hostile ones, on two busy cores; alone it takes a tenth of a second."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def endpoint(ray_cluster: None, tiny_model_path: str) -> Iterator[Endpoint]:
    yield deploy(
        base_path=tiny_model_path, base_name=BASE, adapters={}, engine=TransformersEngine(),
        serving=ServingConfig(port=free_port(), max_new_tokens=1900), blocking=False,
    )  # fmt: skip
    shutdown()


def connected(endpoint: Endpoint) -> socket.socket:
    url = httpx.URL(endpoint.url)
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=60)


def request(body: dict[str, object], *more_headers: str) -> bytes:
    content = json.dumps(body).encode()
    head = ["POST /v1/completions HTTP/1.1", "Host: x", "Content-Type: application/json", *more_headers]
    return "\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content


def others_are_answered(endpoint: Endpoint) -> None:
    body = {"model": BASE, "prompt": "def", "max_tokens": 2}
    response = httpx.post(f"{endpoint.url}/v1/completions", json=body, timeout=OTHERS_SECONDS)
    assert response.status_code == 200


def nothing_stays_open(endpoint: Endpoint, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while (num_open := httpx.get(f"{endpoint.url}/health").json()["num_open"]) and time.monotonic() < deadline:
        pass
    assert num_open == 0


def read_to_end(client: socket.socket) -> bytes:
    """What comes until the server closes, or for as long as it stays silent."""
    parts = []
    try:
        while part := client.recv(2**16):
            parts.append(part)
    except (TimeoutError, ConnectionResetError, BrokenPipeError):
        pass
    return b"".join(parts)


def test_clients_that_never_finish_their_request_hold_up_nobody(endpoint: Endpoint) -> None:
    whole = request({"model": BASE, "prompt": "def", "max_tokens": 2})
    with ExitStack() as stack:
        for i in range(200):
            client = stack.enter_context(connected(endpoint))
            client.sendall(whole[: (7, 60, len(whole) - 3)[i % 3]])  # in the first line, the headers, the body
        others_are_answered(endpoint)
    nothing_stays_open(endpoint)
    others_are_answered(endpoint)


def test_a_client_that_has_closed_its_half_costs_no_more_than_its_answer(endpoint: Endpoint) -> None:
    for stream in (False, True):
        with connected(endpoint) as client:
            client.sendall(request({"model": BASE, "prompt": "def", "max_tokens": 1900, "stream": stream}))
            client.shutdown(socket.SHUT_WR)
            others_are_answered(endpoint)
        nothing_stays_open(endpoint)


def test_clients_that_do_not_read_hold_up_nobody(endpoint: Endpoint) -> None:
    body = {"model": BASE, "prompt": "def", "max_tokens": 300, "n": 2, "stream": True, "temperature": 1.0}
    with ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(connected(endpoint))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.sendall(request(body))
        others_are_answered(endpoint)
    nothing_stays_open(endpoint, 60)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([f"x-{i}: {i}" for i in range(20_000)], id="many"),
        pytest.param(["x-long: " + "a" * 4_000_000], id="long"),
        pytest.param(["x-request-id: \udcff\udcfe", "authorization: Bearer \udcff"], id="not-text"),
    ],
)
def test_floods_of_headers_are_answered_or_refused(endpoint: Endpoint, headers: list[str]) -> None:
    body = json.dumps({"model": BASE, "prompt": "def", "max_tokens": 2}).encode()
    head = ["POST /v1/completions HTTP/1.1", "Host: x", "Content-Type: application/json", "Connection: close", *headers]
    sent = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode("utf-8", "surrogateescape") + body
    with connected(endpoint) as client:
        with suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(sent)
        others_are_answered(endpoint)
        answer = read_to_end(client)
    assert answer == b"" or answer.split(b" ")[1] in (b"200", b"400", b"431", b"500"), answer[:200]
    others_are_answered(endpoint)
    nothing_stays_open(endpoint)


# --- the process of `ray-ft serve` ------------------------------------------------------------------------------------


def test_sigterm_lets_open_answers_end(tiny_model_path: str, tmp_path: Path) -> None:
    """Sixteen requests are open when the signal comes: each ends as if it had not, or in the promised error."""
    tuned = TunedModel(
        base_model=BASE, base_path=tiny_model_path, base_digest="", path=tiny_model_path, is_adapter=False,
        strategy=Full(), metrics={}, steps=1, fingerprint="f",
    )  # fmt: skip
    artifacts.save(tuned, tmp_path / "run")
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"keys: [{{id: one, sha256: {hashlib.sha256(b'one').hexdigest()}}}]\n")
    config = tmp_path / "run.yaml"
    config.write_text(
        f"run_name: run\noutput_dir: {tmp_path}\nmodel: {{name: '{BASE}'}}\n"
        "data: {sources: [docs], recipes: [paragraph]}\n"
        f"serving: {{host: 0.0.0.0, port: {free_port()}, keys_file: {keys}, max_new_tokens: 1900, "
        "drain_seconds: 170}\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    server = subprocess.Popen(
        [sys.executable, "-m", "ray_ft", "serve", str(config)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert server.stdout is not None
        url = next(line.split()[3] for line in server.stdout if line.startswith("Serving "))
        ends: list[str] = []

        def ask(streaming: bool) -> None:
            body = {"model": "run", "prompt": "def", "max_tokens": 200, "stream": streaming}
            answer = httpx.post(f"{url}/completions", json=body, headers={"authorization": "Bearer one"}, timeout=180)
            assert answer.status_code == 200, answer.text
            ends.append(answer.text[-14:].strip() if streaming else answer.json()["choices"][0]["finish_reason"])

        clients = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(16)]
        for client in clients:
            client.start()
        root = url.removesuffix("/v1")
        while httpx.get(f"{root}/health").json()["num_open"] < len(clients):
            pass
        server.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(180)
        assert sorted(ends) == ["data: [DONE]"] * 8 + ["length"] * 8
        assert server.wait(120) == 0
    finally:
        server.kill()
