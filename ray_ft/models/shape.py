"""Layer counts, widths and parameter counts from a model's config.json; loads no weights and imports no torch."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from ray_ft.errors import ModelError

Source = Literal["builtin", "folder", "cache", "catalogue", "hub"]


@dataclass(frozen=True)
class ModelShape:
    """The numbers that memory and time depend on, for decoder-only models of the Llama family."""

    name: str
    model_type: str
    num_parameters: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied: bool  # input embedding and output head share their weights
    max_position_embeddings: int
    attention_bias: bool = False  # query, key and value; the output projection too, but not in qwen2
    mlp_bias: bool = False
    qk_norm: bool = False
    source: Source = "folder"  # where config.json came from
    exact: bool = True  # False: an architecture without formulas, planned by a trace
    num_added_tokens: int = 0  # of vocab_size: those that this run adds, and that adapters train rows for

    @property
    def query_size(self) -> int:
        """Width of all query heads together; equals hidden_size in Llama, not in Gemma or some Qwen3."""
        return self.num_heads * self.head_dim

    @property
    def key_size(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.num_kv_heads * self.head_dim

    @property
    def fused(self) -> bool:
        """Phi-3 computes query, key and value by one linear layer, and gate and up by another."""
        return self.model_type == "phi3"

    @property
    def wide_norms(self) -> bool:
        """Gemma multiplies the normalised values by the norm's weight in fp32, the others in the compute dtype."""
        return self.model_type == "gemma"

    @cached_property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one decoder layer, by their module names."""
        h, f, q, k = self.hidden_size, self.intermediate_size, self.query_size, self.key_size
        if self.fused:
            return {"qkv_proj": (h, q + 2 * k), "o_proj": (q, h), "gate_up_proj": (h, 2 * f), "down_proj": (f, h)}
        attention = {"q_proj": (h, q), "k_proj": (h, k), "v_proj": (h, k), "o_proj": (q, h)}
        return attention | {"gate_proj": (h, f), "up_proj": (h, f), "down_proj": (f, h)}

    @cached_property
    def layer_parameters(self) -> int:
        """Weights of the linear layers of all decoder layers, without biases: what quantisation and LoRA apply to."""
        return self.num_layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    def with_added_tokens(self, count: int) -> "ModelShape":
        """The shape with rows for `count` more tokens: an upper bound, since a base with spare rows needs none."""
        matrices = 1 if self.tied else 2
        return replace(
            self,
            vocab_size=self.vocab_size + count,
            num_parameters=self.num_parameters + matrices * count * self.hidden_size,
            num_added_tokens=count,
        )

    @property
    def head_parameters(self) -> int:
        """Weights of the output head, tied or not."""
        return self.vocab_size * self.hidden_size


def load_model_shape(name: str, *, revision: str | None = None) -> ModelShape:
    """The shape of `builtin:NAME`, a local folder with config.json, or a hub id; ModelError when there is none."""
    config, source = load_model_config(name, revision=revision)
    return replace(shape_from_config(config, name), source=source)


def load_model_config(name: str, *, revision: str | None = None) -> tuple[Mapping[str, object], Source]:
    """config.json of a model and where it comes from; ModelError when there is none.

    A hub id is looked up in the local Hugging Face cache, then among the public models in known_models.py, and only
    then on the hub, so that planning answers at once with or without a network. A revision skips the known models.
    """
    if name.startswith("builtin:"):
        config = BUILTIN_CONFIGS.get(name.removeprefix("builtin:"))
        if config is None:
            known = ", ".join(f"builtin:{n}" for n in BUILTIN_CONFIGS)
            raise ModelError(f"model.name: no such builtin model {name!r}; choose one of {known}")
        return config, "builtin"
    if Path(name).expanduser().exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        return _folder_config(name), "folder"
    cached = _cached_config(name, revision)
    if cached is not None:
        return _read_json(cached), "cache"
    if revision is None:
        from ray_ft.models.catalogue import known_config

        config = known_config(name)
        if config is not None:
            return config, "catalogue"
    return _read_json(_download_config(name, revision)), "hub"


def shape_from_config(config: Mapping[str, object], name: str) -> ModelShape:
    """The shape that a config.json describes; ModelError for a missing key or an architecture without formulas."""
    model_type = str(_get(config, "model_type", name))
    if model_type not in MODEL_TYPES:
        raise ModelError(_unsupported(config, model_type, name))
    hidden, heads = _count(config, "hidden_size", name), _count(config, "num_attention_heads", name)
    head_dim = _count(config, "head_dim", name, default=DEFAULT_HEAD_DIM.get(model_type, hidden // heads))
    shape = ModelShape(
        name=name,
        model_type=model_type,
        num_parameters=0,
        num_layers=_count(config, "num_hidden_layers", name),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=_count(config, "num_key_value_heads", name, default=heads),
        head_dim=head_dim,
        intermediate_size=_count(config, "intermediate_size", name),
        vocab_size=_count(config, "vocab_size", name),
        tied=bool(config.get("tie_word_embeddings", model_type == "gemma")),
        max_position_embeddings=_count(config, "max_position_embeddings", name, default=4096),
        attention_bias=model_type == "qwen2" or bool(config.get("attention_bias", False)),
        mlp_bias=bool(config.get("mlp_bias", False)),
        qk_norm=model_type == "qwen3",
    )
    return replace(shape, num_parameters=count_parameters(shape))


def count_parameters(shape: ModelShape) -> int:
    """All weights: embedding, linear layers with their biases, norms, and the output head unless it is tied."""
    h, q, k, f = shape.hidden_size, shape.query_size, shape.key_size, shape.intermediate_size
    layer = 2 * h  # the norms before attention and before the MLP
    if shape.attention_bias:
        layer += q + 2 * k + (0 if shape.model_type == "qwen2" else h)
    if shape.mlp_bias:
        layer += 2 * f + h
    if shape.qk_norm:
        layer += 2 * shape.head_dim
    embeddings = shape.vocab_size * h * (1 if shape.tied else 2)
    return embeddings + shape.layer_parameters + shape.num_layers * layer + h  # the last h is the final norm


# --- where config.json comes from -------------------------------------------------------------------------------------


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
        _reach_hub()
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


def _reach_hub() -> None:
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


def _get(config: Mapping[str, object], key: str, name: str) -> object:
    if config.get(key) is None:
        raise ModelError(f"model.name: config.json of {name} has no {key!r}; the estimator needs it")
    return config[key]


def _count(config: Mapping[str, object], key: str, name: str, *, default: int | None = None) -> int:
    """A positive whole number of the config; `default` stands in for a key that is absent or null."""
    value = default if config.get(key) is None and default is not None else _get(config, key, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"model.name: config.json of {name}: {key} is {value!r}; it must be a whole number above 0")
    return value


def _unsupported(config: Mapping[str, object], model_type: str, name: str) -> str:
    experts = any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts"))
    kind = "a mixture of experts" if experts or "moe" in model_type or model_type == "mixtral" else "not supported"
    return (
        f"model.name: {name} is {kind} ({model_type!r}); this works for {', '.join(MODEL_TYPES)}, "
        "and `ray-ft plan --check` estimates others by a trace"
    )


MODEL_TYPES = ("gemma", "llama", "mistral", "phi3", "qwen2", "qwen3")
"""Architectures whose formulas are exact here; each is dense, with RMSNorm, rotary positions and a gated MLP."""

DEFAULT_HEAD_DIM = {"gemma": 256, "qwen3": 128}
"""Where a config without head_dim does not mean hidden_size / num_attention_heads."""

BUILTIN_CONFIGS: dict[str, dict[str, object]] = {
    "tiny": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 4096,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    },
}
"""config.json of the models that `builtin:NAME` makes on the spot; base_model.py builds them."""
