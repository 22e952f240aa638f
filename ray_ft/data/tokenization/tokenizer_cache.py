"""A copy of a tokenizer that workers load in a second, where AutoTokenizer takes six.

To find a tokenizer's class AutoTokenizer reads the model's config, and imports PyTorch and the machinery of generation
on the way: seconds and hundreds of megabytes for every worker, which only turns text into numbers. The driver does that
once and leaves the tokenizer as its Rust part and its template, which is all there is to one that is fast.
"""

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from ray_ft.artifacts import digest
from ray_ft.errors import DataError
from ray_ft.models.fetched.cache import kept_once, write_provenance
from ray_ft.storage import Store, is_uri, shown

CONFIG = "tokenizer_config.json"
MESSAGES = [{"role": "user", "content": "What is it? <b>"}, {"role": "assistant", "content": "Näher."}]


def save_lean(tokenizer: Any, folder: Path) -> str | None:
    """Write the copy below a folder that workers see; its path, or None where the copy would not be the same.

    Another tokenizer gets another path, since workers that live longer than a run remember what they have loaded.
    Raises DataError when the folder cannot be written.
    """
    if not getattr(tokenizer, "is_fast", False):
        return None
    try:
        marks = _marks(tokenizer)
        shutil.rmtree(folder, ignore_errors=True)  # of another tokenizer
        copy = folder / digest(marks)
        tokenizer.save_pretrained(str(copy))
        config = json.loads((copy / CONFIG).read_text(encoding="utf-8"))
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        (copy / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return str(copy) if _marks(load_lean(str(copy))) == marks else None
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from None


def load_lean(path: str) -> Any:
    """The tokenizer that `save_lean` wrote; one that was put in storage is fetched into the user's cache."""
    from transformers import PreTrainedTokenizerFast

    if is_uri(path):
        store = Store(path)

        def fetch(folder: Path) -> None:
            for found in store.list():
                store.fetch(found.name, folder / PurePosixPath(found.name).name)
            write_provenance(folder, {"source": shown(path)})

        path = str(kept_once(f"tokenizer-{PurePosixPath(shown(path)).name}", fetch))
    return PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)


def _marks(tokenizer: Any) -> dict[str, Any]:
    """All that encoding depends on."""
    try:
        rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    except Exception as error:  # without a template, or one that refuses; both have to
        rendered = type(error).__name__
    return {
        "rust": tokenizer.backend_tokenizer.to_str(),
        "template": tokenizer.chat_template,
        "rendered": rendered,
        "ids": tokenizer(MESSAGES[0]["content"]).input_ids,
        "special": sorted(map(str, tokenizer.all_special_tokens)),
        "ends": (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id),
    }
