"""Reads LoRA adapters through a strict gate: what is loaded is what was trained, or an error in one line.

PEFT itself accepts an adapter whose keys match nothing and then answers like the base.
"""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.errors import ModelError, first_line
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import tokenizer_digest

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

BASE_FILE = "ray_ft_base.json"
"""Written beside an adapter by training: base_model, base_digest and tokenizer_digest of what it was trained on."""
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Stands before the base's own names in PEFT's files."""


@dataclass
class Adapter:
    """An adapter's tensors by the base's module names, in the dtype in which it answers, in the machine's memory."""

    name: str
    rank: int = 0  # the largest of its modules
    factors: "dict[str, tuple[torch.Tensor, torch.Tensor]]" = field(
        default_factory=dict
    )  # A [r, in], scaled B [r, out]
    magnitudes: "dict[str, torch.Tensor]" = field(default_factory=dict)  # DoRA's factor of each output [out]
    matrices: "dict[str, torch.Tensor]" = field(
        default_factory=dict
    )  # embedding or head of its own [vocabulary, width]

    @property
    def is_plain(self) -> bool:
        """Whether it is two factors beside linear layers and nothing else."""
        return not self.magnitudes and not self.matrices


def read_adapter(name: str, folder: str, *, base: Any, model_path: str) -> Adapter:
    """Read an adapter for a loaded base. Raises ModelError unless all of it has its place, in its shape, and counts."""
    check_adapter(name, folder, model_path=model_path)
    where = f"adapter {name!r} ({folder})"
    try:
        return _read(where, name, folder, base)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ModelError(f"{where} does not fit this base: {first_line(error)}") from None


def _read(where: str, name: str, folder: str, base: Any) -> Adapter:
    import torch
    from peft import PeftConfig
    from safetensors.torch import load_file

    config: Any = PeftConfig.from_pretrained(folder)
    weights = {key.removeprefix(PREFIX): value for key, value in load_file(Path(folder) / WEIGHTS_FILE).items()}
    modules = {key: module for key, module in base.named_modules() if key}
    targets = [key for key, module in modules.items() if _is_target(config, key, module)]
    wanted = {f"{key}.lora_{side}.weight" for key in targets for side in "AB"}
    if config.use_dora:
        wanted |= {f"{key}.lora_magnitude_vector" for key in targets}
    own = _own_matrices(config, modules)
    wanted |= set(own)
    missing, unexpected = sorted(wanted - weights.keys()), sorted(weights.keys() - wanted)
    if missing or unexpected or not wanted:
        example = (unexpected or missing or ["no target"])[0]
        raise ModelError(
            f"{where} does not fit this base: {len(missing)} keys missing, {len(unexpected)} unexpected, e.g. {example}"
        )
    dtype = base.get_input_embeddings().weight.dtype
    adapter = Adapter(name)
    for key in targets:
        a, b = weights[f"{key}.lora_A.weight"], weights[f"{key}.lora_B.weight"]
        rank, module = len(a), modules[key]
        for tensor, shape, side in ((a, (rank, module.in_features), "A"), (b, (module.out_features, rank), "B")):
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"size mismatch for {key}.lora_{side}: {list(tensor.shape)}, the base has {list(shape)}"
                )
        scaling = _scaling(config, key, rank)
        grown = b.float() * scaling
        if config.use_dora:
            norm = (_dense(module).float() + (grown @ a.float()).to(module.weight.device)).norm(dim=1).cpu()
            factor = weights[f"{key}.lora_magnitude_vector"].float() / norm
            adapter.magnitudes[key] = factor.to(dtype)
            grown = grown * factor[:, None]
        adapter.factors[key] = (a.to(dtype), grown.t().contiguous().to(dtype))
        adapter.rank = max(adapter.rank, rank)
    for key, (module_name, rows) in own.items():
        matrix = modules[module_name].weight
        if rows is None:
            if weights[key].shape != matrix.shape:
                raise ValueError(
                    f"size mismatch for {key}: {list(weights[key].shape)}, the base has {list(matrix.shape)}"
                )
            adapter.matrices[module_name] = weights[key].to(dtype)
        else:
            changed = matrix.detach().cpu().clone()
            changed[torch.tensor(rows)] = weights[key].to(dtype)
            adapter.matrices[module_name] = changed
            if (
                modules[module_name] is base.get_input_embeddings()
                and base.config.get_text_config().tie_word_embeddings
            ):
                adapter.matrices.setdefault(_name_of(modules, base.get_output_embeddings()), changed)
    return adapter


def _is_target(config: Any, key: str, module: Any) -> bool:
    from peft.tuners.tuners_utils import check_target_module_exists

    return hasattr(module, "in_features") and bool(check_target_module_exists(config, key))


def _scaling(config: Any, key: str, rank: int) -> float:
    """LoRA's alpha over r (arXiv 2106.09685), or over its root (arXiv 2312.03732)."""
    from peft.utils.other import get_pattern_key

    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern.keys(), key), config.lora_alpha)
    return float(alpha) / (rank**0.5 if config.use_rslora else rank)


def _own_matrices(config: Any, modules: dict[str, Any]) -> dict[str, tuple[str, list[int] | None]]:
    """Keys of whole matrices, or of rows, that an adapter brings: each with its module, and which rows."""
    own: dict[str, tuple[str, list[int] | None]] = {}
    for wanted in config.modules_to_save or ():
        for key in modules:
            if key == wanted or key.endswith(f".{wanted}"):
                own[f"{key}.weight"] = (key, None)
    if config.modules_to_save and getattr(config, "ensure_weight_tying", False) and "lm_head" in modules:
        own["lm_head.weight"] = ("lm_head", None)
    indices = config.trainable_token_indices or {}
    for wanted, rows in (indices if isinstance(indices, dict) else {"embed_tokens": indices}).items():
        for key in modules:
            if key == wanted or key.endswith(f".{wanted}"):
                own[f"{key}.token_adapter.trainable_tokens_delta"] = (key, list(rows))
    return own


def _dense(module: Any) -> "torch.Tensor":
    """A linear layer's weight [out, in], unpacked where it is quantised."""
    from peft.utils.integrations import dequantize_module_weight

    weight: torch.Tensor = dequantize_module_weight(module)
    return weight.detach()


def _name_of(modules: dict[str, Any], wanted: Any) -> str:
    return next(key for key, module in modules.items() if module is wanted)


def check_adapter(name: str, folder: str, *, model_path: str) -> None:
    """What can be known without loading the base: that the files are there, belong to this base and change something.

    Raises ModelError with one line that names the adapter.
    """
    where = f"adapter {name!r} ({folder})"
    path = Path(folder)
    if not path.is_dir():
        raise ModelError(f"{where}: no such folder")
    _check_config(where, path)
    _check_base(where, path, Path(model_path))
    _check_weights(where, path)


def _check_config(where: str, path: Path) -> None:
    try:
        config = json.loads((path / "adapter_config.json").read_text())
    except FileNotFoundError:
        raise ModelError(f"{where}: no adapter_config.json; give a folder in PEFT format") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{where}: cannot read adapter_config.json: {first_line(error)}") from None
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{where}: is of type {config.get('peft_type')}; only LORA adapters can be loaded")
    unknown = [
        key for key in ("lora_bias", "fan_in_fan_out", "target_parameters", "layer_replication") if config.get(key)
    ]
    if unknown:
        raise ModelError(f"{where}: was trained with {unknown[0]}, which is not answered with")
    if config.get("bias", "none") != "none":
        raise ModelError(
            f"{where}: was trained with bias={config['bias']!r}, which would change the base's own answers"
        )


def _check_base(where: str, path: Path, model_path: Path) -> None:
    """Compare the digests that training wrote; an adapter without them is let through to the key and shape check."""
    file = path / BASE_FILE
    if not file.is_file():
        logger.warning("%s has no %s; only the names and shapes of its weights are checked", where, BASE_FILE)
        return
    try:
        trained_on = json.loads(file.read_text())
        expected = trained_on["base_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{where}: {BASE_FILE} is damaged: {first_line(error)}") from None
    here = base_digest(model_path)
    if expected != here:
        raise ModelError(
            f"{where} belongs to another base: it was trained on {trained_on.get('base_model')} ({expected}), "
            f"but {model_path} is {here}"
        )
    tokenizer = trained_on.get("tokenizer_digest")
    if tokenizer is not None and tokenizer != tokenizer_digest(model_path):
        raise ModelError(f"{where} was trained with another tokenizer than the one in {model_path}")


def _check_weights(where: str, path: Path) -> None:
    """All weights finite, and at least one that makes the answer differ from the base's (LoRA starts with B = 0)."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path / WEIGHTS_FILE)
    except FileNotFoundError:
        raise ModelError(f"{where}: no {WEIGHTS_FILE}; pickled weights are not loaded") from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{where}: cannot read {WEIGHTS_FILE}: {first_line(error)}") from None
    broken = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise ModelError(f"{where}: {len(broken)} weights are not finite, e.g. {broken[0]}")
    effective = [key for key in weights if "lora_A" not in key and "lora_embedding_A" not in key]
    if not any(bool(weights[key].any()) for key in effective):
        raise ModelError(f"{where} changes nothing: all its lora_B weights are zero")
