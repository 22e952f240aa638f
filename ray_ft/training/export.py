"""Writes tuned weights where others can read them: in plain PEFT or Hugging Face format, or merged into the base.

Merging happens in the base's own 16- or 32-bit weights, also for an adapter that was trained beside a quantised base.
"""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TunedModel
from ray_ft.errors import ConfigError, ModelError

log = logging.getLogger("ray_ft")


def export_model(tuned: TunedModel, *, path: str, merge: bool = False, chat_template: str | None = None) -> Path:
    """Write the tuned model with its tokenizer and chat template to an empty or new folder.

    Raises ConfigError when the folder is not empty, ModelError when the adapter belongs to another base.
    """
    from ray_ft.base_model import load_tokenizer

    target = Path(path).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{path} is not an empty folder; give the path of a new one")
    if merge and not tuned.is_adapter:
        raise ConfigError(f"--merge: {tuned.strategy.name} made a whole model, there is no adapter to merge")
    if not Path(tuned.path).is_dir():
        raise ModelError(f"{tuned.path}: the tuned model's folder is gone; run `ray-ft train ... --force`")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        if merge:
            _merge(tuned, partial)
        else:
            shutil.copytree(tuned.path, partial, dirs_exist_ok=True)
        load_tokenizer(tuned.base_path, chat_template).save_pretrained(partial)
        partial.chmod(0o755)  # mkdtemp makes it private
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def write_adapter(model: Any, weights: dict[str, Any], path: Path, about_base: dict[str, str]) -> None:
    """A PEFT folder that needs nothing of ours to load; `about_base` goes beside it so that another base is noticed."""
    from ray_ft.engines.transformers.adapters import BASE_FILE

    if about_base:
        model.peft_config["default"].base_model_name_or_path = about_base["base_model"]
    model.save_pretrained(str(path), state_dict=weights, save_embedding_layers=False)
    (path / "README.md").unlink(missing_ok=True)  # PEFT's model card, all of it still to be filled in
    if about_base:
        (path / BASE_FILE).write_text(json.dumps(about_base, indent=1) + "\n")


def write_model(model: Any, weights: dict[str, Any], path: Path, base_path: str, chat_template: str | None) -> None:
    """A Hugging Face folder with tokenizer and chat template."""
    from ray_ft.base_model import load_tokenizer

    buffers = {name: value.cpu() for name, value in model.state_dict().items() if name in dict(model.named_buffers())}
    model.save_pretrained(str(path), state_dict={**weights, **buffers})
    load_tokenizer(base_path, chat_template).save_pretrained(str(path))


def _merge(tuned: TunedModel, path: Path) -> None:
    """Fold the adapter into the base's unquantised weights, on the host."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ray_ft.engines.transformers.adapters import check_adapter

    check_adapter("export", tuned.path, model_path=tuned.base_path)
    try:
        base = AutoModelForCausalLM.from_pretrained(tuned.base_path, dtype="auto", local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{tuned.base_path}: the base cannot be loaded: {str(error).splitlines()[0]}") from error
    merged = PeftModel.from_pretrained(base, tuned.path).merge_and_unload()
    merged.config.use_cache = True
    merged.save_pretrained(str(path))
