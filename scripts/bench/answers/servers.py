"""Endpoints to measure, each in a process of its own: ours, an earlier version's, and `vllm serve`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

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
    serving=ServingConfig(port=given["port"], max_new_tokens=512), blocking=True,
)
"""
VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0", "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}  # fmt: skip


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
) -> Iterator[str]:
    """The endpoint of the package in a folder, which may be an earlier version."""
    given = {"base": base, "adapters": dict(adapters), "engine": engine, "port": port, "options": dict(options or {})}
    environment = {"PYTHONPATH": f"{package}:{os.environ.get('PYTHONPATH', '')}"}
    with _running([sys.executable, "-c", OURS, json.dumps(given)], port, log, environment) as url:
        yield url


@contextmanager
def vllm_serve(base: str, adapters: Mapping[str, str], *, port: int, log: Path, batch_size: int) -> Iterator[str]:
    """vLLM's own server with the same adapters."""
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", base, "--served-model-name", "base",
        "--port", str(port), "--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", "16",
        "--max-num-seqs", str(batch_size), "--gpu-memory-utilization", "0.85", "--no-enable-prefix-caching",
        "--lora-modules", *(f"{name}={path}" for name, path in adapters.items()),
    ]  # fmt: skip
    with _running(command, port, log, VLLM_ENVIRONMENT) as url:
        yield url


@contextmanager
def _running(command: list[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A server from the moment it answers until it is stopped."""
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=log.parent, stdout=out, stderr=out, start_new_session=True
        )
        try:
            _wait(process, url, log)
            yield url
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    while True:
        if process.poll() is not None:
            raise SystemExit(f"a server ended before it answered:\n{log.read_text()[-3000:]}")
        try:
            if httpx.get(f"{url}/v1/models", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
