"""What stands beside the weights of a model made from a base: the base's own files, with what has changed laid over.

transformers 5 writes a tokenizer's class and rotary positions under names that older releases do not know; those would
find no tokenizer, and take a theta of 10000 without a word. The base's files are read by whatever reads the base.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ray_ft.models.tokenizer import TOKENIZER_FILES, end_of_turn_id, load_tokenizer

TEMPLATE_FILE = "chat_template.jinja"


def write_beside_weights(folder: Path, base_path: str | Path, chat_template: str | None) -> Any:
    """Tokenizer and generation config, and config.json where the folder has one: a whole model. Returns the tokenizer.

    `folder` holds the weights, and of a whole model the config.json that transformers wrote. `chat_template` is the
    path of a Jinja file that takes the place of the base's own.
    """
    base = Path(base_path)
    tokenizer = load_tokenizer(base, chat_template)
    for file in base.iterdir():
        if file.name != "config.json" and any(file.match(pattern) for pattern in TOKENIZER_FILES):
            shutil.copyfile(file, folder / file.name)
    write_tokenizer_config(folder, base, pad_token=tokenizer.pad_token)
    if chat_template is not None:
        _write_template(folder, str(tokenizer.chat_template))
    _write_generation_config(folder, base, tokenizer)
    if (folder / "config.json").is_file():
        _write_config(folder, base, pad_token_id=tokenizer.pad_token_id)
    return tokenizer


def write_tokenizer_config(folder: Path, base: Path, *, pad_token: str | None) -> None:
    """The base's, with a class that transformers 4 and 5 know, and a token to pad with."""
    config = _read(base / "tokenizer_config.json")
    if config.get("tokenizer_class") in (None, "TokenizersBackend"):
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):  # transformers 4 wants their names, and knows this key
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    if config.get("pad_token") is None:
        config["pad_token"] = pad_token
    _write(folder / "tokenizer_config.json", config)


def _write_template(folder: Path, template: str) -> None:
    """Where the base keeps its own."""
    config = _read(folder / "tokenizer_config.json")
    if "chat_template" in config:
        _write(folder / "tokenizer_config.json", {**config, "chat_template": template})
    if "chat_template" not in config or (folder / TEMPLATE_FILE).is_file():
        (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8")


def _write_generation_config(folder: Path, base: Path, tokenizer: Any) -> None:
    """The base's, that also ends where the chat template ends a turn, and knows what to pad with.

    Many bases name only end-of-text as eos, and a model tuned on turns would then talk on behind its answer.
    """
    config = _read(base / "generation_config.json")
    named = config.get("eos_token_id")
    named = named if isinstance(named, list) else [named]
    ends = dict.fromkeys(i for i in (end_of_turn_id(tokenizer), *named, tokenizer.eos_token_id) if i is not None)
    changed = {
        "eos_token_id": list(ends),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    _write(folder / "generation_config.json", {**config, **changed})


def _write_config(folder: Path, base: Path, *, pad_token_id: int | None) -> None:
    """The base's config.json with the dtype, vocabulary and ties of the one that is there."""
    from transformers import AutoConfig

    config, made = _read(base / "config.json"), AutoConfig.from_pretrained(folder, local_files_only=True)
    config.pop("quantization_config", None)
    dtype = str(made.dtype or "float32").removeprefix("torch.")
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    inner = config.get("text_config") or config
    for name in ("vocab_size", "tie_word_embeddings"):
        inner[name] = getattr(made.get_text_config(), name)
    if "tie_word_embeddings" in config:
        config["tie_word_embeddings"] = made.tie_word_embeddings
    if config.get("pad_token_id") is None:
        config["pad_token_id"] = pad_token_id
    _name_rope_twice(config)
    _write(folder / "config.json", config)


def _name_rope_twice(config: dict[str, Any]) -> None:
    """A base that only has transformers 5's rope_parameters gets rope_theta and rope_scaling beside them."""
    rope = config.get("rope_parameters") or {}
    if "rope_theta" not in rope or "rope_theta" in config:
        return
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = scaling if scaling.get("rope_type", "default") != "default" else None


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values


def _write(path: Path, values: dict[str, Any]) -> None:
    path.unlink(missing_ok=True)  # it may be a link into the base
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
