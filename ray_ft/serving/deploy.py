"""Builds the Ray Serve application: a gateway that speaks HTTP and replicas that hold the model; and starts it."""

import contextlib
import errno
import json
import os
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft import artifacts
from ray_ft.artifacts import Endpoint, TunedModel
from ray_ft.config import Config, ServingConfig, load_config
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError, ModelError
from ray_ft.serving.adapters import Catalogue, catalogue
from ray_ft.serving.app import create_api
from ray_ft.serving.errors import Refusal
from ray_ft.serving.protocol import Ask
from ray_ft.serving.replica import LoadingReplica
from ray_ft.serving.responses import Piece

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

APP_NAME = "ray_ft"
MAX_REQUESTS = 256
"""Requests one process works on at a time; Ray Serve's own default of 5 would let streams starve each other."""
MAX_QUEUED = 1024
"""Requests that wait beyond that before clients are told to come back later."""
MAX_CPUS = 8
"""Cores one replica asks for on machines without a GPU; more bring a decode loop little."""


def deploy(
    *,
    base_path: str,
    base_name: str,
    adapters: Mapping[str, str],
    engine: Engine,
    serving: ServingConfig,
    blocking: bool,
    chat_template: str | None = None,
) -> Endpoint:
    """Start the endpoint on the connected Ray cluster; `blocking` waits until interrupted, then stops it.

    Raises ConfigError when the port is taken or the replicas do not fit the cluster, ModelError when the base or an
    adapter cannot be served; nothing is running then.
    """
    adapters = _absolute(adapters)
    served = catalogue(base_path, base_name, adapters)
    engine.check_adapters(base_path, adapters)
    resources = _replica_resources(serving.num_replicas)
    _check_serve_is_free()
    _check_port(serving)
    application = build_application(
        served, base_path, adapters, engine=engine, serving=serving, chat_template=chat_template, resources=resources
    )
    _start(application, serving)
    endpoint = Endpoint(url=f"http://{_reachable(serving.host)}:{serving.port}", models=served.ids)
    if blocking:
        print(_greeting(endpoint), flush=True)
        try:
            _wait_for_interrupt()
        finally:
            shutdown()
    return endpoint


def shutdown() -> None:
    """Stop the endpoint and Ray Serve with it."""
    from ray import serve

    serve.shutdown()


def app(args: Mapping[str, Any]) -> "Application":
    """Builder for `serve run` and `serve deploy`: import_path `ray_ft.serving.deploy:app`.

    `args` holds `config`, the path of a configuration, and optionally `overrides`, a list of key=value. Host and port
    come from the Serve file's own http_options.
    """
    unknown = sorted(set(args) - {"config", "overrides"})
    if unknown or "config" not in args:
        raise ConfigError(f"args: expected config and optionally overrides, got {', '.join(sorted(args)) or 'nothing'}")
    config = load_config(str(args["config"]), list(args.get("overrides") or ()))
    models = models_of_run(config)
    adapters = _absolute(models.adapters)
    return build_application(
        catalogue(models.base_path, models.base_name, adapters),
        models.base_path,
        adapters,
        engine=config.engine,
        serving=config.serving,
        chat_template=config.model.chat_template,
        resources=_replica_resources(config.serving.num_replicas),
    )


@dataclass(frozen=True)
class RunModels:
    """What one run has to serve."""

    base_path: str
    base_name: str
    adapters: dict[str, str]


def models_of_run(config: Config) -> RunModels:
    """The tuned model of a run under the run's name, beside its base, and the adapters that serving.adapters adds.

    A fully tuned model is a base itself. Raises MissingArtifactError where nothing has been trained yet.
    """
    tuned = artifacts.load(TunedModel, config.run_path)
    if tuned.is_adapter:
        return RunModels(
            tuned.base_path, config.model.name, {config.run_name: tuned.path} | dict(config.serving.adapters)
        )
    return RunModels(tuned.path, config.run_name, dict(config.serving.adapters))


def build_application(
    served: Catalogue,
    base_path: str,
    adapters: Mapping[str, str],
    *,
    engine: Engine,
    serving: ServingConfig,
    chat_template: str | None,
    resources: Mapping[str, float],
) -> "Application":
    """One gateway in front of `serving.num_replicas` copies of the model."""
    from ray import serve

    replica = serve.deployment(
        LoadingReplica,
        name="model",
        num_replicas=serving.num_replicas,
        ray_actor_options=dict(resources),
        max_ongoing_requests=MAX_REQUESTS,
        max_queued_requests=MAX_QUEUED,
        graceful_shutdown_timeout_s=120,  # the default of 20 would cut long answers
        health_check_timeout_s=120,
    ).bind(engine, base_path, dict(adapters), max_new_tokens=serving.max_new_tokens, chat_template=chat_template)
    gateway: Any = serve.deployment(
        serve.ingress()(Gateway),
        name="gateway",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=serving.num_replicas * MAX_REQUESTS + MAX_QUEUED,
    )
    application: Application = gateway.bind(replica, served)
    return application


class Gateway:
    """Ray Serve's ingress: HTTP in, asks to the replicas, HTTP out."""

    def __init__(self, replica: "DeploymentHandle", served: Catalogue) -> None:
        self._backend = ReplicaHandle(replica)
        self._served = served

    def __serve_build_asgi_app__(self) -> Any:
        return create_api(self._served, self._backend)


class ReplicaHandle:
    """`Backend` over a deployment handle; a reader that goes away cancels the work."""

    def __init__(self, handle: "DeploymentHandle") -> None:
        self._handle: Any = handle

    async def max_seq_len(self) -> int:
        return int(await self._handle.max_seq_len.remote())

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        pieces: list[Piece] | Refusal = await self._handle.answer.remote(ask)
        return pieces

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        response = self._handle.options(stream=True).stream.remote(ask)
        try:
            async for item in response:
                yield item
        finally:
            response.cancel()


def _absolute(adapters: Mapping[str, str]) -> dict[str, str]:
    """A replica's process need not run in this one's folder."""
    return {name: str(Path(folder).expanduser().resolve()) for name, folder in adapters.items()}


def _replica_resources(num_replicas: int) -> dict[str, float]:
    """What one replica asks of Ray: a GPU where the cluster has any, else a fair share of a machine's cores.

    Ray gives a process as many threads as it asks for cores.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    num_gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if num_gpus:
        if num_replicas > num_gpus:
            raise ConfigError(
                f"serving.num_replicas: {num_replicas} copies need as many GPUs; the cluster has {num_gpus}"
            )
        return {"num_gpus": 1, "num_cpus": 1}
    num_cpus = int(sum(node.get("CPU", 0) for node in nodes))
    if num_replicas > num_cpus:
        raise ConfigError(f"serving.num_replicas: {num_replicas} copies need as many CPUs; the cluster has {num_cpus}")
    largest = int(max(node.get("CPU", 0) for node in nodes))
    return {"num_cpus": max(1, min(largest // num_replicas, os.cpu_count() or 1, MAX_CPUS))}


def _check_serve_is_free() -> None:
    """Ray Serve keeps the host and port it was first started with, so a second endpoint would land on the first's."""
    from ray import serve

    if serve.status().proxies:
        raise ConfigError(
            "Ray Serve is already running on this cluster; stop it with `serve shutdown`, or add this endpoint to its "
            "config file with import_path ray_ft.serving.deploy:app"
        )


def _check_port(serving: ServingConfig) -> None:
    """Bind the port once, because Ray Serve would only say so in a log file."""
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((serving.host, serving.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"serving.port: {serving.port} is in use on {serving.host}; "
                    f"choose another, e.g. serving.port={serving.port + 1}"
                ) from None
            raise ConfigError(
                f"serving.host: cannot listen on {serving.host}:{serving.port}: {error.strerror or error}"
            ) from None


def _start(application: "Application", serving: ServingConfig) -> None:
    """Start Serve and wait until the model is loaded; a failure leaves nothing running."""
    from ray import serve
    from ray.serve.config import HTTPOptions, ProxyLocation

    serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host=serving.host, port=serving.port))
    try:
        serve.run(application, name=APP_NAME, route_prefix="/")
    except RuntimeError as error:
        reason = _reason(error)
        shutdown()
        raise ModelError(f"the endpoint did not start: {reason}") from None
    except BaseException:
        shutdown()
        raise


def _reason(error: RuntimeError) -> str:
    """The replica's own error, out of the traceback that Serve passes on as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("ray_ft.errors.")]
    if not ours:
        return lines[-1] if lines else type(error).__name__
    return ours[-1].partition(": ")[2]


def _wait_for_interrupt() -> None:
    """Sleep until Ctrl-C or SIGTERM."""
    stop = threading.Event()
    with _on_signals(stop.set):
        stop.wait()


@contextlib.contextmanager
def _on_signals(stop: Any) -> Iterator[None]:
    signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda *_: stop()) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reachable(host: str) -> str:
    """An address that a client on this machine can use; all interfaces include the local one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _greeting(endpoint: Endpoint) -> str:
    body = json.dumps({"model": endpoint.models[-1], "messages": [{"role": "user", "content": "Hello"}]})
    return (
        f"Serving {', '.join(endpoint.models)} at {endpoint.url}/v1 (stop with Ctrl-C). Try:\n"
        f"curl {endpoint.url}/v1/chat/completions -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
