"""What is served under which name: the base and its adapters, each with a version made from its content."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.folder import base_digest
from ray_ft.serving.refusals import ApiError, Refusal

RESERVED = ":"
"""Separates base and adapter in `base:adapter`, the long form of an adapter's name."""


@dataclass(frozen=True)
class ServedModel:
    """One name a request may ask for; `adapter` is None for the base."""

    id: str
    adapter: str | None
    parent: str | None
    version: str  # first 12 hex digits of the content's SHA-256: a retrained adapter is another version
    created: int  # when its files were written, Unix seconds


@dataclass(frozen=True)
class Catalogue:
    """All served models, the base first, then adapters in the order configured."""

    models: tuple[ServedModel, ...]

    @property
    def base(self) -> ServedModel:
        """The base model."""
        return self.models[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """All names."""
        return tuple(model.id for model in self.models)

    def find(self, name: str) -> ServedModel:
        """The model a request names: a base, an adapter, or `base:adapter`. Raises ApiError 404."""
        short = name.removeprefix(self.base.id + RESERVED) if name != self.base.id else name
        for model in self.models:
            if model.id == name or (model.id == short and model.adapter is not None):
                return model
        message = f"The model {name!r} does not exist; served are: {', '.join(self.ids)}"
        raise ApiError(Refusal(404, message, code="model_not_found", param="model"))


def catalogue(base_path: str, base_name: str, adapters: Mapping[str, str]) -> Catalogue:
    """Read the identity of everything that is to be served. Raises ModelError or ConfigError on what cannot be."""
    if not (Path(base_path) / "config.json").is_file():
        raise ModelError(f"no model in {base_path}: it has no config.json")
    base = ServedModel(base_name, None, None, base_digest(base_path)[:12], _written(Path(base_path) / "config.json"))
    models = [base]
    for name, folder in adapters.items():
        if not name or name == base_name:
            raise ConfigError(f"serving.adapters: {name!r} cannot name an adapter; the base has this name")
        models.append(ServedModel(name, name, base_name, _version(name, folder), _written(Path(folder))))
    return Catalogue(tuple(models))


def _version(name: str, folder: str) -> str:
    if not Path(folder).is_dir():
        raise ModelError(f"adapter {name!r} ({folder}): no such folder")
    hasher = hashlib.sha256()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        path = Path(folder) / file
        if not path.is_file():
            raise ModelError(f"adapter {name!r} ({folder}): no {file}; give a folder in PEFT format")
        if file.endswith(".json"):
            # key order and spacing are no content
            try:
                hasher.update(json.dumps(json.loads(path.read_text()), sort_keys=True).encode())
            except ValueError as error:
                raise ModelError(f"adapter {name!r}: {path} is damaged: {error}") from None
        else:
            with path.open("rb") as stream:
                while block := stream.read(2**22):
                    hasher.update(block)
    return hasher.hexdigest()[:12]


def _written(path: Path) -> int:
    return int(path.stat().st_mtime)
