"""Loads LoRA adapters beside their base through a strict gate, and switches between them.

PEFT itself accepts an adapter whose keys match nothing and then answers like the base; here that is an error.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_ft.errors import ModelError, first_line
from ray_ft.models.folder import base_digest
from ray_ft.models.tokenizer import tokenizer_digest

logger = logging.getLogger(__name__)

BASE_FILE = "ray_ft_base.json"
"""Written beside an adapter by training: base_model, base_digest and tokenizer_digest of what it was trained on."""
WEIGHTS_FILE = "adapter_model.safetensors"


class AdapterSet:
    """A base with its adapters: `model` runs whichever `activate` chose last."""

    def __init__(self, base: Any, model_path: str, adapters: Mapping[str, str]) -> None:
        self.model = base
        # PEFT forbids dots in names and finds an adapter's keys by substring; numbered names of one length avoid both.
        self._slots = {name: f"adapter_{i:04d}" for i, name in enumerate(adapters)}
        self._active: str | None = None
        for name, folder in adapters.items():
            check_adapter(name, folder, model_path=model_path)
            self._add(name, folder)
        if adapters:
            self.model.eval()
            self.model.base_model.disable_adapter_layers()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters, in the order given."""
        return tuple(self._slots)

    def activate(self, name: str | None) -> None:
        """Make the next forward pass answer as this adapter, or as the base for None; free when nothing changes."""
        if name == self._active:
            return
        if name is None:
            self.model.base_model.disable_adapter_layers()
        else:
            self.model.base_model.enable_adapter_layers()
            self.model.set_adapter(self._slots[name], inference_mode=True)
        self._active = name

    def _add(self, name: str, folder: str) -> None:
        """Create the adapter's layers and load its weights; every key must find its place."""
        from peft import PeftConfig, PeftModelForCausalLM

        slot = self._slots[name]
        try:
            config = PeftConfig.from_pretrained(folder)
            config.inference_mode = True
            if isinstance(self.model, PeftModelForCausalLM):
                self.model.add_adapter(slot, config)
            else:
                self.model = PeftModelForCausalLM(self.model, config, adapter_name=slot)
            device = str(next(self.model.parameters()).device)
            report = self.model.load_adapter(folder, slot, torch_device=device)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise ModelError(f"adapter {name!r} ({folder}) does not fit this base: {_cause(error)}") from None
        missing, unexpected = list(report.missing_keys), list(report.unexpected_keys)
        if missing or unexpected:
            example = (unexpected or missing)[0].replace(f".{slot}", "")
            raise ModelError(
                f"adapter {name!r} ({folder}) does not fit this base: {len(missing)} keys missing, "
                f"{len(unexpected)} unexpected, e.g. {example}"
            )


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


def _cause(error: BaseException) -> str:
    """Torch lists one mismatch per line below a headline; the first mismatch says more than the headline."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return next(
        (line for line in lines if line.startswith("size mismatch")), lines[0] if lines else type(error).__name__
    )
