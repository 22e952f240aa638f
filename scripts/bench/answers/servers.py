"""Endpoints to measure, each in a process of its own: ours, an earlier version's, and `vllm serve`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import psutil

OURS = """
import json, sys
import ray
from ray_ft.config import ServingConfig
from ray_ft.engines import ENGINES
from ray_ft.serving.deploy import deploy

given = json.loads(sys.argv[1])
ray.init(address="local", include_dashboard=False, log_to_driver=False)
deploy(
    base_path=given["base"], base_name="base", adapters=given["adapters"],
    engine=ENGINES[given["engine"]](**given["options"]),
    serving=ServingConfig(port=given["port"], max_new_tokens=512), blocking=True, **given["more"],
)
"""
VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0", "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}  # fmt: skip


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    pid: int  # of the process that started it

    def replicas(self, name: str) -> "dict[str, psutil.Process]":
        """Ray Serve's proxy and the deployments of an application, found by the titles that Ray gives processes."""
        import psutil

        found = {}
        for process in psutil.Process(self.pid).children(recursive=True):
            title = (process.cmdline() or [""])[0]
            if title.startswith(("ray::ProxyActor", f"ray::ServeReplica:{name}:")):
                # "ray::ServeReplica:NAME:DEPLOYMENT", and ".METHOD" while one runs
                found[title.rpartition(":")[2].partition(".")[0]] = process
        return found


@contextmanager
def ours(
    base: str,
    adapters: Mapping[str, str],
    *,
    engine: str,
    port: int,
    log: Path,
    package: Path,
    options: Mapping[str, object] | None = None,
    more: Mapping[str, object] | None = None,
) -> Iterator[Running]:
    """The endpoint of the package in a folder, which may be an earlier version; `more` goes to `deploy` as it is."""
    given = {
        "base": base, "adapters": dict(adapters), "engine": engine, "port": port,
        "options": dict(options or {}), "more": dict(more or {}),
    }  # fmt: skip
    environment = {"PYTHONPATH": f"{package}:{os.environ.get('PYTHONPATH', '')}"}
    with running([sys.executable, "-c", OURS, json.dumps(given)], port, log, environment) as server:
        yield server


@contextmanager
def vllm_serve(base: str, adapters: Mapping[str, str], *, port: int, log: Path, batch_size: int) -> Iterator[Running]:
    """vLLM's own server with the same adapters."""
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", base, "--served-model-name", "base",
        "--port", str(port), "--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", "16",
        "--max-num-seqs", str(batch_size), "--gpu-memory-utilization", "0.85", "--no-enable-prefix-caching",
        "--lora-modules", *(f"{name}={path}" for name, path in adapters.items()),
    ]  # fmt: skip
    with running(command, port, log, VLLM_ENVIRONMENT) as server:
        yield server


@contextmanager
def running(
    command: list[str], port: int, log: Path, environment: Mapping[str, str], *, ready: str = "/v1/models"
) -> Iterator[Running]:
    """A server from the moment it answers a GET of `ready` until it is stopped."""
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=log.parent, stdout=out, stderr=out, start_new_session=True
        )
        try:
            _wait(process, url + ready, log)
            yield Running(url, process.pid)
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait(process: "subprocess.Popen[bytes]", ready: str, log: Path) -> None:
    while True:
        if process.poll() is not None:
            raise SystemExit(f"a server ended before it answered:\n{log.read_text()[-3000:]}")
        try:
            if httpx.get(ready, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
