"""Routes by which adapters come and go: vLLM's two, and ours for versions, aliases, experiments and shadows."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from ray_ft.errors import ConfigError, ModelError
from ray_ft.serving.adapters import unknown_model
from ray_ft.serving.api.bodies import json_bytes
from ray_ft.serving.api.errors import refused
from ray_ft.serving.refusals import ApiError, Refusal, invalid
from ray_ft.serving.registry.desk import Desk, LoadedAlreadyError
from ray_ft.serving.registry.names import Adapter, check_alias, check_name
from ray_ft.serving.registry.registry import Shadow, State
from ray_ft.serving.registry.versions import NoFolderError, Version

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI, Response


class LoadBody(BaseModel):
    """POST /v1/load_lora_adapter, as vLLM has it."""

    lora_name: StrictStr | None = None
    lora_path: StrictStr | None = None
    load_inplace: StrictBool = False


class UnloadBody(BaseModel):
    """POST /v1/unload_lora_adapter."""

    lora_name: StrictStr | None = None


class AliasBody(BaseModel):
    """POST /v1/adapters/{name}/aliases; without a version the alias goes."""

    model_config = ConfigDict(extra="forbid")
    alias: StrictStr
    version: StrictStr | None = None


class ShadowBody(BaseModel):
    """Where a share of the requests goes as well."""

    model_config = ConfigDict(extra="forbid")
    of: StrictStr
    to: StrictStr
    sample: Annotated[float, Field(gt=0, le=1)] = 0.1


class ExperimentsBody(BaseModel):
    """POST /v1/experiments: what is given replaces what is there under its name; null ends it."""

    model_config = ConfigDict(extra="forbid")
    experiments: dict[StrictStr, dict[StrictStr, float] | None] = Field(default_factory=dict)
    shadows: list[ShadowBody] | None = None


def add_adapter_routes(api: "FastAPI", routes: "APIRouter", desk: Desk) -> None:
    """Declare the routes."""
    from fastapi.responses import PlainTextResponse

    registry = desk.registry

    async def load(body: LoadBody) -> Any:
        name, path = body.lora_name, body.lora_path
        if not name or not path:
            return _vllm_error(400, "Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput")
        try:
            check_name(name, registry.base.id)
        except ConfigError as error:
            return _vllm_error(400, str(error), "InvalidUserInput")
        try:
            version = await desk.deploy(name, path, may_replace=body.load_inplace)
        except LoadedAlreadyError as error:
            return _vllm_error(400, str(error), "InvalidUserInput")
        except NoFolderError as error:
            return _vllm_error(404, str(error), "NotFoundError")
        except ModelError as error:
            return _vllm_error(400, str(error), "BadRequestError")
        if version.state == "failed":
            return _vllm_error(400, f"The lora adapter '{name}' cannot answer: {version.reason}", "BadRequestError")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(body: UnloadBody) -> Any:
        if not body.lora_name:
            return _vllm_error(400, "'lora_name' needs to be provided.", "InvalidUserInput")
        if body.lora_name not in registry.state.adapters:
            return _vllm_error(404, f"The lora adapter '{body.lora_name}' cannot be found.", "NotFoundError")
        await desk.remove(body.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    async def adapters() -> dict[str, Any]:
        return {"object": "list", "data": [_row(name, a) for name, a in registry.state.adapters.items()]}

    async def adapter(name: str) -> dict[str, Any]:
        known = _known(name)
        row = _row(name, known)
        for version, shown in zip(known.versions, row["versions"], strict=True):
            shown["probe"] = await desk.probe_of(version)
        return row

    async def aliases(name: str, body: AliasBody) -> dict[str, Any]:
        known = _known(name)
        check_alias(body.alias)
        version = None if body.version is None else known.find(body.version)
        if body.version is not None and version is None:
            raise ApiError(Refusal(404, f"{name!r} has no version {body.version!r}", "version_not_found", "version"))
        if version is not None and version.state == "failed":
            raise invalid(f"version {version.id} failed: {version.reason}", param="version", code="adapter_not_ready")
        if version is None and body.alias == "latest":
            raise invalid("alias: latest always means a version", param="alias")
        registry.point(name, body.alias, None if version is None else version.id)
        return _row(name, registry.state.adapters[name])

    async def experiments() -> dict[str, Any]:
        state = registry.state
        shadows = [{"of": of, "to": rule.to, "sample": rule.sample} for of, rule in state.shadows.items()]
        counts = {"asked": desk.shadows.num_asked, "dropped": desk.shadows.num_dropped}
        return {"experiments": state.experiments, "shadows": shadows, "shadow_answers": counts}

    async def set_experiments(body: ExperimentsBody) -> dict[str, Any]:
        for name, arms in body.experiments.items():
            _check_experiment(name, arms)
        for shadow in body.shadows or ():
            registry.find(shadow.of)
            registry.find(shadow.to)

        def edit(state: State) -> State:
            kept = {name: arms for name, arms in state.experiments.items() if name not in body.experiments}
            added = {name: dict(arms) for name, arms in body.experiments.items() if arms is not None}
            shadows = state.shadows
            if body.shadows is not None:
                shadows = {shadow.of: Shadow(shadow.to, shadow.sample) for shadow in body.shadows}
            return replace(state, experiments=kept | added, shadows=shadows)

        registry.change(edit)
        return await experiments()

    def _known(name: str) -> Adapter:
        known = registry.state.adapters.get(name)
        if known is None:
            raise unknown_model(name, registry.ids)
        return known

    def _check_experiment(name: str, arms: dict[str, float] | None) -> None:
        where = f"experiments.{name}"
        check_alias(name)
        if arms is None:
            return
        if not 1 <= len(arms) <= 16 or not all(0 < weight < math.inf for weight in arms.values()):
            raise invalid(f"{where}: 1 to 16 arms, each a model with a weight above 0", param=where)
        for arm in arms:
            if arm.startswith("exp:"):
                raise invalid(f"{where}: {arm} is an experiment itself", param=where)
            registry.find(arm)

    async def on_config_error(request: Any, error: Any) -> "Response":
        # the store's disk is full: nothing has changed, and what is served goes on
        return refused(Refusal(507, str(error), code="store_full"))

    api.add_exception_handler(ConfigError, on_config_error)
    for path, post in (
        ("/v1/load_lora_adapter", load),
        ("/v1/unload_lora_adapter", unload),
        ("/v1/adapters/{name:path}/aliases", aliases),
        ("/v1/experiments", set_experiments),
    ):
        routes.post(path)(post)
    for path, get in (
        ("/v1/adapters", adapters),
        ("/v1/adapters/{name:path}", adapter),
        ("/v1/experiments", experiments),
    ):
        routes.get(path)(get)


def _row(name: str, adapter: Adapter) -> dict[str, Any]:
    """What GET /v1/adapters says of one."""
    return {
        "id": name,
        "object": "adapter",
        "aliases": dict(sorted(adapter.aliases.items())),
        "versions": [_version_row(version) for version in adapter.versions],
    }


def _version_row(version: Version) -> dict[str, Any]:
    return {
        "version": version.id,
        "state": version.state,
        "reason": version.reason or None,
        "step": version.step,
        "run": version.run or None,
        "created": version.created,
        "source": version.source,
        "probe": version.probe,
    }


def _vllm_error(
    status: int, message: str, kind: Literal["InvalidUserInput", "NotFoundError", "BadRequestError"]
) -> "Response":
    """An error as vLLM's clients read it."""
    from fastapi import Response

    error = {"message": message, "type": kind, "param": None, "code": status}
    return Response(json_bytes({"error": error}), status, {"x-should-retry": "false"}, "application/json")
