"""Starts the endpoint on a Ray cluster, after everything that can be checked has been checked; and stops it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft import artifacts
from ray_ft.artifacts import Endpoint, TunedModel
from ray_ft.config import Config, ServingConfig, load_config
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError, MissingArtifactError
from ray_ft.serving.access.keys import KeyRing, load_keys
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.api.retrieval import Retrieval
from ray_ft.serving.exchange import Ask, Piece, Status, Verdict
from ray_ft.serving.listening import WAY_IN, check_certificate, check_port, check_reach, is_beside_others, url_of
from ray_ft.serving.operation.drain import GRACE_SECONDS
from ray_ft.serving.operation.operate import Operations
from ray_ft.serving.passages import Found, PassageIndex, PassageSet
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.names import check_name
from ray_ft.serving.registry.registry import Registry
from ray_ft.serving.registry.store import adapter_roots, base_of, discarded, new_store, store_of_run
from ray_ft.serving.replica.loading import LoadingReplica
from ray_ft.serving.replica.resources import check_replicas_fit, replica_resources, replica_scaling
from ray_ft.serving.starting import greeting, start
from ray_ft.serving.stopping import GATEWAY, drain, shutdown, wait_for_interrupt

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle


logger = logging.getLogger(__name__)

MAX_REQUESTS = 256
"""Requests one process works on at a time; Ray Serve's own default of 5 would let streams starve each other."""
MAX_QUEUED = 1024
"""Requests that wait beyond that before clients are told to come back later."""
QUIET = {"log_level": "WARNING", "enable_access_log": False}
"""Ray Serve's own lines for every request, in each process: the gateway writes one that says more."""
ONE_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0", "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0"}
"""The gateway only waits for others, so that its requests need not pass from thread to thread."""


def deploy(
    *,
    base_path: str,
    base_name: str,
    adapters: Mapping[str, str],
    engine: Engine,
    serving: ServingConfig,
    blocking: bool,
    chat_template: str | None = None,
    folder: str | Path | None = None,
    roots: Sequence[str | Path] = (),
    passages: PassageSet | None = None,
) -> Endpoint:
    """Start the endpoint on the connected Ray cluster; `blocking` waits until interrupted, then stops it.

    What is deployed is kept below `folder`, which every node must see; without one, in a temporary folder. Adapters may
    be loaded over HTTP from below `roots`. With `passages`, requests may ask for answers with retrieved ones.
    Raises ConfigError when the port is taken or the replicas do not fit the cluster, ModelError when the base or an
    adapter cannot be served; nothing is running then.
    """
    keys = load_keys(serving.keys_file)
    check_reach(serving, keys)
    check_certificate(serving)
    adapters = _absolute(adapters)
    engine.check(base_path, adapters)
    resources = replica_resources(serving, engine)
    check_replicas_fit(serving, resources)
    if not is_beside_others(serving):
        check_port(serving)
    served = new_store(folder, base_path=base_path, base_name=base_name, adapters=adapters)
    with discarded(served, at_end=blocking):
        application = build_application(
            served,
            base_path,
            engine=engine,
            serving=serving,
            keys=keys,
            chat_template=chat_template,
            resources=resources,
            roots=roots,
            passages=passages,
        )
        start(application, serving)
        endpoint = Endpoint(url=url_of(serving), models=served.ids)
        if blocking:
            print(greeting(endpoint, needs_key=bool(keys.keys)), flush=True)
            try:
                wait_for_interrupt()
                drain(serving)
            finally:
                shutdown(serving.name)
    return endpoint


def app(args: Mapping[str, Any]) -> "Application":
    """Builder for `serve run` and `serve deploy`: import_path `ray_ft.serving.deploy:app`.

    `args` holds `config`, the path of a configuration, and optionally `overrides`, a list of key=value. Host and port
    come from the Serve file's own http_options.
    """
    check_arguments(args)
    config = load_config(str(args["config"]), list(args.get("overrides") or ()))
    keys = load_keys(config.serving.keys_file)
    if not keys.keys and not config.serving.open_access:  # where Serve listens is not known here
        raise ConfigError(f"{args['config']}: there are no API keys; {WAY_IN}")
    models = models_of_run(config, config_path=str(args["config"]))
    adapters, store = _absolute(models.adapters), store_of_run(config.run_path)
    return build_application(
        new_store(store, base_path=models.base_path, base_name=models.base_name, adapters=adapters),
        models.base_path,
        engine=config.engine.resolved(adapters),
        serving=config.serving,
        keys=keys,
        chat_template=config.model.chat_template,
        resources=replica_resources(config.serving, config.engine),  # not checked: here the cluster may still grow
        roots=adapter_roots(config),
        passages=PassageSet.of_run(config, config_path=str(args["config"])),
    )


def check_arguments(args: Mapping[str, Any]) -> None:
    """Raise ConfigError for arguments that `app` does not take."""
    unknown = sorted(set(args) - {"config", "overrides"})
    if unknown or "config" not in args:
        raise ConfigError(f"args: expected config and optionally overrides, got {', '.join(sorted(args)) or 'nothing'}")


@dataclass(frozen=True)
class RunModels:
    """What one run has to serve."""

    base_path: str
    base_name: str
    adapters: dict[str, str]


def models_of_run(config: Config, *, config_path: str = "CONFIG") -> RunModels:
    """The tuned model of a run under the run's name, beside its base, and the adapters that serving.adapters adds.

    A fully tuned model is a base itself. Raises MissingArtifactError where nothing has been trained yet, unless runs
    are followed: then the base waits for them.
    """
    try:
        tuned = artifacts.load(TunedModel, config.run_path, config_path=config_path)
    except MissingArtifactError:
        if not config.serving.watch:
            raise
        return RunModels(base_of(config), config.model.name, dict(config.serving.adapters))
    if tuned.is_adapter:
        return RunModels(
            tuned.base_path, config.model.name, {config.run_name: tuned.path} | dict(config.serving.adapters)
        )
    return RunModels(tuned.path, config.run_name, dict(config.serving.adapters))


# --- the application: a gateway that speaks HTTP, and the replicas that hold the model --------------------------------


def build_application(
    served: Registry,
    base_path: str,
    *,
    engine: Engine,
    serving: ServingConfig,
    keys: KeyRing,
    chat_template: str | None,
    resources: Mapping[str, float],
    roots: Sequence[str | Path],
    passages: PassageSet | None = None,
) -> "Application":
    """One gateway, which alone writes what is deployed, in front of `serving.num_replicas` copies of the model, or of
    as many as there is work for."""
    from ray import serve

    replica = serve.deployment(
        LoadingReplica,
        name="model",
        **replica_scaling(serving),
        ray_actor_options=dict(resources),
        max_ongoing_requests=MAX_REQUESTS,
        max_queued_requests=MAX_QUEUED,
        # stopped by others than `ray-ft serve`, it goes on answering for so long; then the gateway ends its streams
        graceful_shutdown_timeout_s=serving.drain_seconds,
        health_check_timeout_s=120,
        logging_config=QUIET,
    ).bind(
        engine,
        base_path,
        str(served.folder),
        max_new_tokens=serving.max_new_tokens,
        adapter_wait_s=serving.adapter_wait_s,
        chat_template=chat_template,
    )
    index = None
    if passages is not None:
        passages = passages.copied_to(served.folder)
        index = serve.deployment(
            PassageIndex, name="passages", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=MAX_REQUESTS
        ).bind(passages)
    for name in serving.watch:
        check_name(name, served.base.id)
    serving = replace(serving, watch=_absolute(serving.watch))
    described = {"engine": engine.name, "quantization": getattr(engine, "quantization", None)}
    gateway: Any = serve.deployment(
        serve.ingress()(Gateway),
        name=GATEWAY,
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": ONE_LOOP}},
        logging_config=QUIET,
        max_ongoing_requests=(serving.max_replicas or serving.num_replicas) * MAX_REQUESTS + MAX_QUEUED,
        graceful_shutdown_timeout_s=serving.drain_seconds + GRACE_SECONDS,
    )
    application: Application = gateway.bind(
        replica, str(served.folder), described, serving, keys, [str(root) for root in roots], passages, index
    )
    return application


class Gateway:
    """Ray Serve's ingress: HTTP in, asks to the replicas, HTTP out."""

    def __init__(
        self,
        replica: "DeploymentHandle",
        folder: str,
        engine: Mapping[str, Any],
        serving: ServingConfig,
        keys: KeyRing,
        roots: Sequence[str],
        passages: PassageSet | None,
        index: "DeploymentHandle | None",
    ) -> None:
        self._engine, self._serving = engine, serving
        self._passages, self._index = passages, index
        self._desk = Desk(Registry(folder), ReplicaHandle(replica), serving, roots=roots)
        self._operations = Operations(self._desk.registry, self._desk, serving, keys, sends_id=False)

    def __serve_build_asgi_app__(self) -> Any:
        serving, backend = self._serving, self._operations.backend
        api = registry_api(
            self._desk,
            backend,
            watch=serving.watch,
            engine=self._engine,
            retrieval=Retrieval(backend, self._passages, self._search),
            is_strict=serving.strict,
        )
        self._operations.install(api)
        return api

    async def _search(self, question: str, num_passages: int) -> Found:
        index: Any = self._index
        found: Found = await index.search.remote(question, num_passages)
        return found

    async def drain(self, seconds: float) -> int:
        """Take no more requests and wait for the open ones; returns how many were cut off after `seconds`."""
        return await self._operations.drain(seconds)


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

    async def load(self, version: str) -> Verdict:
        verdict: Verdict = await self._handle.load.remote(version)
        return verdict

    async def sync(self) -> None:
        await self._handle.sync.remote()  # one copy; the others look by themselves

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


def _absolute(adapters: Mapping[str, str]) -> dict[str, str]:
    """A replica's process need not run in this one's folder."""
    return {name: str(Path(folder).expanduser().resolve()) for name, folder in adapters.items()}
