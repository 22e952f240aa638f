"""Finds a model's config.json without its weights: builtin, in a folder, in the cache, in the catalogue, on the hub."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ray_ft.errors import ModelError
from ray_ft.models.builtin import BUILTIN_CONFIGS, BUILTIN_PREFIX, SMOLLM2, SMOLLM2_HUB_ID, no_such_builtin
from ray_ft.models.catalogue import known_config
from ray_ft.models.fetched.gguf import gguf_config, is_gguf

Source = Literal["builtin", "folder", "cache", "catalogue", "hub"]


def load_model_config(name: str, *, revision: str | None = None) -> tuple[Mapping[str, object], Source]:
    """config.json of a model and where it comes from; ModelError when there is none.

    A hub id is looked up in the local Hugging Face cache, then among the public models in catalogue.py, and only
    then on the hub, so that planning answers at once with or without a network. A revision skips the known models.
    """
    if name == SMOLLM2:
        return known_config(SMOLLM2_HUB_ID) or {}, "builtin"
    if name.startswith(BUILTIN_PREFIX):
        config = BUILTIN_CONFIGS.get(name.removeprefix(BUILTIN_PREFIX))
        if config is None:
            raise no_such_builtin(name)
        return config, "builtin"
    if is_gguf(name):
        return gguf_config(Path(name).expanduser()), "folder"
    if Path(name).expanduser().exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        return _folder_config(name), "folder"
    cached = _cached_config(name, revision)
    if cached is not None:
        return _read_json(cached), "cache"
    if revision is None:
        config = known_config(name)
        if config is not None:
            return config, "catalogue"
    return _read_json(_download_config(name, revision)), "hub"


def _folder_config(name: str) -> dict[str, object]:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(
            f"model.name: no such folder {name!r}; give a folder with config.json, a hub id such as "
            "Qwen/Qwen2.5-7B-Instruct, or builtin:tiny"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"model.name: {name} has no config.json, so it is no Hugging Face model folder")
    return _read_json(folder / "config.json")


def _cached_config(name: str, revision: str | None) -> Path | None:
    """config.json in the Hugging Face cache, found by the cache's layout: importing the hub client takes too long."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or home / "hub").expanduser()
    model = cache / f"models--{name.replace('/', '--')}"
    reference = model / "refs" / (revision or "main")
    commit = reference.read_text().strip() if reference.is_file() else (revision or "")
    path = model / "snapshots" / commit / "config.json"
    return path if commit and path.is_file() else None


def _download_config(name: str, revision: str | None) -> Path:
    from huggingface_hub import errors, hf_hub_download

    where = f"{name}@{revision}" if revision else name
    try:
        reach_hub()
        return Path(hf_hub_download(name, "config.json", revision=revision, etag_timeout=5))
    except errors.GatedRepoError:
        raise ModelError(
            f"model.name: {where} is gated; accept its licence on huggingface.co and run `hf auth login`, "
            "or give a local folder"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(
            f"model.revision: {name} has no revision {revision!r}; null takes its default branch"
        ) from None
    except errors.EntryNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            raise ModelError(
                f"model.name: {where} has no config.json on the hub, so it is no Transformers model"
            ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise ModelError(
            f"model.name: no model {where!r} on the hub (or it is private: run `hf auth login`); check the "
            "spelling, or give a local folder"
        ) from None
    except (OSError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled):
        pass
    raise ModelError(
        f"model.name: cannot reach the hub for {where}, and it is not in the local cache; give a local folder with "
        f"config.json, run `hf download {name}` where there is a network, or use builtin:tiny"
    )


def reach_hub() -> None:
    """OSError at once where the hub's name is not known: its client would ask again for half a minute, and aloud."""
    import logging
    import socket
    from urllib.parse import urlsplit

    from huggingface_hub import constants

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)


def _read_json(path: Path) -> dict[str, object]:
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"model.name: cannot read {path}: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"model.name: {path} holds no mapping of keys, so it is no model's config.json")
    return config
