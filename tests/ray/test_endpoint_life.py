"""An endpoint over its life on Ray Serve: copies that come and go, HTTPS, an end that somebody else brings about."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ray_ft.config import ServingConfig
from ray_ft.engines import TransformersEngine
from ray_ft.serving.deploy import deploy
from ray_ft.serving.stopping import shutdown

pytestmark = [pytest.mark.ray, pytest.mark.long]

BASE = "builtin:tiny"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(base_path: str, serving: ServingConfig) -> str:
    return deploy(
        base_path=base_path, base_name=BASE, adapters={}, engine=TransformersEngine(), serving=serving, blocking=False
    ).url


def num_copies() -> int:
    from ray import serve

    states = serve.status().applications["ray_ft"].deployments["model"].replica_states
    return sum(states.values())


def wait(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.2)


def test_copies_come_with_requests_and_go_with_them(ray_cluster: None, tiny_model_path: str) -> None:
    """At last there are none; probes leave it so, and a request brings one back."""
    serving = ServingConfig(
        port=free_port(), max_new_tokens=1900, max_replicas=2, min_replicas=0, requests_per_replica=1, idle_seconds=1
    )
    url = start(tiny_model_path, serving)
    try:
        assert httpx.get(f"{url}/v1/models").status_code == 200
        body = {"model": BASE, "prompt": "def", "max_tokens": 2}
        stop = threading.Event()
        statuses = set[int]()

        def go_on_asking() -> None:
            while not stop.is_set():
                answer = httpx.post(f"{url}/v1/completions", json=body | {"max_tokens": 200}, timeout=300)
                statuses.add(answer.status_code)

        clients = [threading.Thread(target=go_on_asking) for _ in range(6)]
        for client in clients:
            client.start()
        wait(lambda: num_copies() == 2)
        stop.set()
        for client in clients:
            client.join(300)
        assert statuses == {200}
        wait(lambda: num_copies() == 0)
        for path in ("/health", "/ready", "/metrics", "/v1/models"):
            assert httpx.get(url + path).status_code == 200
        assert num_copies() == 0
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=300)
        assert (answer.status_code, answer.json()["usage"]["completion_tokens"]) == (200, 2)
    finally:
        shutdown()


def test_the_endpoint_speaks_https(ray_cluster: None, tiny_model_path: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        ["openssl", *made, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    url = start(tiny_model_path, ServingConfig(port=free_port(), ssl_certfile=str(certificate), ssl_keyfile=str(key)))
    try:
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(certificate))
        body = {"model": BASE, "prompt": "def", "max_tokens": 2}
        assert httpx.post(f"{url}/v1/completions", json=body, verify=trusted, timeout=60).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http"))
    finally:
        shutdown()


@pytest.mark.parametrize(("seconds", "max_tokens", "end"), [(120, 300, "[DONE]"), (1, 1900, "error")])
def test_serves_own_end_of_an_application_waits_for_streams_or_ends_them_in_an_error(
    ray_cluster: None, tiny_model_path: str, seconds: float, max_tokens: int, end: str
) -> None:
    from ray import serve

    url = start(tiny_model_path, ServingConfig(port=free_port(), max_new_tokens=1900, drain_seconds=seconds))
    try:
        body = {"model": BASE, "prompt": "def", "max_tokens": max_tokens, "stream": True}
        with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=180) as response:
            lines = response.iter_lines()
            next(lines)
            threading.Thread(target=serve.delete, args=("ray_ft",)).start()
            last = [line for line in lines if line][-1].removeprefix("data: ")
        assert last == end if end == "[DONE]" else json.loads(last)["error"]["type"] == "server_error"
    finally:
        shutdown()
