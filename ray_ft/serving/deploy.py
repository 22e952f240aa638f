"""Starts the endpoint on a Ray cluster, after everything that can be checked has been checked; and stops it."""

import asyncio
import contextlib
import errno
import io
import json
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ray_ft import artifacts
from ray_ft.artifacts import Endpoint, TunedModel
from ray_ft.config import Config, ServingConfig, load_config
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError, ModelError
from ray_ft.serving.adapters import Catalogue, catalogue
from ray_ft.serving.api.routes import create_api
from ray_ft.serving.exchange import Ask, Piece, Status
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.replica.replica import LoadingReplica
from ray_ft.serving.replica.resources import check_replicas_fit, replica_resources

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle


logger = logging.getLogger(__name__)

APP_NAME = "ray_ft"
MAX_REQUESTS = 256
"""Requests one process works on at a time; Ray Serve's own default of 5 would let streams starve each other."""
MAX_QUEUED = 1024
"""Requests that wait beyond that before clients are told to come back later."""


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
    engine.check(base_path, adapters)
    resources = replica_resources(serving, engine)
    check_replicas_fit(serving, resources)
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

    # Serve's controller ends while it is being asked to, which Ray reports as a failed task.
    with contextlib.redirect_stdout(_WithoutLines(sys.stdout, "ServeController.graceful_shutdown failed")):
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
    models = models_of_run(config, config_path=str(args["config"]))
    adapters = _absolute(models.adapters)
    return build_application(
        catalogue(models.base_path, models.base_name, adapters),
        models.base_path,
        adapters,
        engine=config.engine.resolved(),
        serving=config.serving,
        chat_template=config.model.chat_template,
        resources=replica_resources(config.serving, config.engine),  # not checked: here the cluster may still grow
    )


@dataclass(frozen=True)
class RunModels:
    """What one run has to serve."""

    base_path: str
    base_name: str
    adapters: dict[str, str]


def models_of_run(config: Config, *, config_path: str = "CONFIG") -> RunModels:
    """The tuned model of a run under the run's name, beside its base, and the adapters that serving.adapters adds.

    A fully tuned model is a base itself. Raises MissingArtifactError where nothing has been trained yet.
    """
    tuned = artifacts.load(TunedModel, config.run_path, config_path=config_path)
    if tuned.is_adapter:
        return RunModels(
            tuned.base_path, config.model.name, {config.run_name: tuned.path} | dict(config.serving.adapters)
        )
    return RunModels(tuned.path, config.run_name, dict(config.serving.adapters))


# --- the application: a gateway that speaks HTTP, and the replicas that hold the model --------------------------------


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
    described = {"engine": engine.name, "quantization": getattr(engine, "quantization", None)}
    gateway: Any = serve.deployment(
        serve.ingress()(Gateway),
        name="gateway",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=serving.num_replicas * MAX_REQUESTS + MAX_QUEUED,
    )
    application: Application = gateway.bind(replica, served, described)
    return application


class Gateway:
    """Ray Serve's ingress: HTTP in, asks to the replicas, HTTP out."""

    def __init__(self, replica: "DeploymentHandle", served: Catalogue, engine: Mapping[str, Any]) -> None:
        self._backend = ReplicaHandle(replica)
        self._served = served
        self._engine = engine

    def __serve_build_asgi_app__(self) -> Any:
        return create_api(self._served, self._backend, engine=self._engine)


class ReplicaHandle:
    """`Backend` over a deployment handle; a reader that goes away cancels the work."""

    def __init__(self, handle: "DeploymentHandle") -> None:
        self._handle: Any = handle

    async def status(self) -> Status:
        status: Status = await self._handle.status.remote()
        return status

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        response = self._handle.answer.remote(ask)
        try:
            pieces: list[Piece] | Refusal = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        return pieces

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        response = self._handle.options(stream=True).stream.remote(ask)
        try:
            async for item in response:
                yield item
        finally:
            response.cancel()

    async def tokenize(
        self, ask: Ask, *, add_special_tokens: bool, with_texts: bool
    ) -> list[tuple[int, str | None]] | Refusal:
        tokens: list[tuple[int, str | None]] | Refusal = await self._handle.tokenize.remote(
            ask, add_special_tokens=add_special_tokens, with_texts=with_texts
        )
        return tokens

    async def detokenize(self, ids: Sequence[int]) -> str | Refusal:
        text: str | Refusal = await self._handle.detokenize.remote(ids)
        return text


# --- starting and stopping --------------------------------------------------------------------------------------------


def _absolute(adapters: Mapping[str, str]) -> dict[str, str]:
    """A replica's process need not run in this one's folder."""
    return {name: str(Path(folder).expanduser().resolve()) for name, folder in adapters.items()}


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

    if not logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # importing Serve has set it to INFO
    serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host=serving.host, port=serving.port))
    try:
        serve.run(application, name=APP_NAME, route_prefix="/")
    except RuntimeError as error:
        failed = serve.status().applications.get(APP_NAME)
        reason = _reason([str(error), *(d.message for d in (failed.deployments.values() if failed else ()))])
        shutdown()
        raise ModelError(f"the endpoint did not start: {reason}") from None
    except BaseException:
        shutdown()
        raise


def _reason(messages: list[str]) -> str:
    """The replica's own error, out of the tracebacks that Serve passes on as text; else the last line of all."""
    lines = [line.strip() for message in messages for line in message.splitlines() if line.strip()]
    ours = [line.partition(": ")[2] for line in lines if line.startswith("ray_ft.errors.")]
    return (ours or lines or ["no reason given"])[-1]


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


class _WithoutLines(io.TextIOBase):
    """A text stream that passes on whole lines, except those with a marker."""

    def __init__(self, sink: TextIO, marker: str) -> None:
        self._sink = sink
        self._marker = marker
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if self._marker not in line:
                self._sink.write(line + "\n")
        return len(text)

    def flush(self) -> None:
        self._sink.flush()


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
