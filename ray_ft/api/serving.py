"""`serve`: the base and its adapters answer over HTTP."""

import os

from ray_ft.api.run_folder import config_path_of
from ray_ft.api.session import is_connected, ray_session
from ray_ft.artifacts import Endpoint
from ray_ft.config import Config
from ray_ft.errors import ConfigError


def serve(config: Config, *, blocking: bool = True) -> Endpoint:
    """Serve the base and its adapters over HTTP; `blocking` waits until interrupted.

    Raises ModelError when an adapter belongs to another base, ConfigError when the port is taken.
    """
    from ray_ft.serving.deploy import deploy, models_of_run
    from ray_ft.serving.passages import PassageSet
    from ray_ft.serving.registry.store import adapter_roots, store_of_run

    if not config.engine.needs_weights:
        raise ConfigError(
            f"engine.name: {config.engine.name} asks a server, which serves already; take auto, vllm or transformers"
        )
    models = models_of_run(config, config_path=config_path_of(config))
    passages = PassageSet.of_run(config, config_path=config_path_of(config))
    if not blocking and not os.environ.get("RAY_ADDRESS") and not is_connected():
        raise ConfigError(
            "serve --detach needs a cluster that outlives this command: start one with `ray start --head` "
            "and give --address, or leave --detach out"
        )
    with ray_session(config, keep=not blocking):
        return deploy(
            base_path=models.base_path,
            base_name=models.base_name,
            adapters=models.adapters,
            engine=config.engine.resolved(models.adapters),
            serving=config.serving,
            blocking=blocking,
            chat_template=config.model.chat_template,
            folder=store_of_run(config.run_path),
            roots=adapter_roots(config),
            passages=passages,
        )
