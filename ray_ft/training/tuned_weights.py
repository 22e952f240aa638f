"""Writes the weights that a run has tuned, in plain PEFT or Hugging Face format: for its output and its checkpoints."""

import json
import shutil
from pathlib import Path
from typing import Any

from ray_ft.engines.probe import Probe, write_probe
from ray_ft.engines.transformers.adapters import BASE_FILE, WEIGHTS_FILE


def write_adapter(
    model: Any, weights: dict[str, Any], path: Path, about_base: dict[str, str], probe: Probe | None = None
) -> None:
    """A PEFT folder that needs nothing of ours to load.

    `about_base` goes beside it so that another base is noticed, `probe` so that other answers are.
    """

    if about_base:
        model.peft_config["default"].base_model_name_or_path = about_base["base_model"]
    # A trained embedding that is tied to the head trains once, and PEFT wants it under both names.
    embedding, head = "model.embed_tokens.modules_to_save", "lm_head.modules_to_save"
    tied = {} if any(head in name for name in weights) else {
        name.replace(embedding, head): value for name, value in weights.items() if embedding in name
    }  # fmt: skip
    model.save_pretrained(str(path), state_dict={**weights, **tied}, save_embedding_layers=False)
    (path / "README.md").unlink(missing_ok=True)  # PEFT's model card, all of it still to be filled in
    open_weights(path, like="adapter_config.json")
    if about_base:
        (path / BASE_FILE).write_text(json.dumps(about_base, indent=1) + "\n")
    if probe is not None:
        write_probe(path, probe, weights=path / WEIGHTS_FILE)


def write_model(model: Any, weights: dict[str, Any], path: Path, base_path: str, chat_template: str | None) -> None:
    """A Hugging Face folder: the weights, and the base's own files with what has changed laid over them."""
    from ray_ft.models.lay_over import write_beside_weights

    buffers = {name: value.cpu() for name, value in model.state_dict().items() if name in dict(model.named_buffers())}
    model.save_pretrained(str(path), state_dict={**weights, **buffers})
    write_beside_weights(path, base_path, chat_template)
    open_weights(path, like="config.json")


def open_weights(folder: Path, *, like: str) -> None:
    """safetensors makes files that only their owner may read; colleagues and servers are to read them too."""
    for file in folder.glob("*.safetensors"):
        shutil.copymode(folder / like, file)
