"""The base model's tokenizer and its chat template: loaded, told from others, and asked how an answer ends."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.errors import ConfigError, ModelError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENIZER_FILES = ("tokenizer*", "*.model", "vocab*", "merges*", "special_tokens*", "chat_template*", "config.json")
TEMPLATE_FILE = "chat_template.jinja"
"""Where transformers keeps a folder's chat template; an adapter that has one is answered with it."""
VOCABULARY_FILES = ("tokenizer*", "vocab*", "*.model", "*.tiktoken")


def load_tokenizer(model_path: str | Path, chat_template: str | None = None) -> "PreTrainedTokenizerFast":
    """The model's tokenizer, with the chat template of a file in place of its own when one is given."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(model_path), local_files_only=True)
    except (OSError, ValueError) as error:
        there = any(file for pattern in VOCABULARY_FILES for file in Path(model_path).glob(pattern))
        reason = first_line(error) if there else "the folder has no tokenizer.json, nor the file of another tokenizer"
        raise ModelError(f"{model_path}: no tokenizer can be loaded: {reason}") from None
    if chat_template is not None:
        try:
            tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"model.chat_template: cannot read {chat_template}: {error.strerror}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_digest(model_path: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of tokenizer.json: equal text gives equal ids under equal digests."""
    path = Path(model_path) / "tokenizer.json"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    backend = load_tokenizer(model_path).backend_tokenizer.to_str()
    return hashlib.sha256(backend.encode()).hexdigest()[:16]


def template_digest(tokenizer: Any) -> str:
    """First 16 hex digits of the SHA-256 of the chat template in use."""
    return hashlib.sha256(str(tokenizer.chat_template or "").encode()).hexdigest()[:16]


def template_file_digest(model_path: str | Path, chat_template: str | None) -> str:
    """First 16 hex digits of the SHA-256 of the chat template's file: the given one, else where the model keeps its."""
    own = [Path(model_path) / name for name in (TEMPLATE_FILE, "tokenizer_config.json")]
    files = [Path(chat_template)] if chat_template is not None else own
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files if f.is_file())).hexdigest()[:16]


def end_of_turn_id(tokenizer: Any) -> int | None:
    """Id of the special token with which the chat template ends an answer, else end-of-text; None where neither is."""
    question, answer = "ray-ft-question", "ray-ft-answer"
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    except Exception:  # no template, or one that may raise anything on a shape it does not like
        text = ""
    specials = {str(t): i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    behind = text.rpartition(answer)[2] if answer in text else ""
    found = [(place, i) for t, i in specials.items() if (place := behind.find(t)) >= 0]
    end = min(found)[1] if found else tokenizer.eos_token_id
    return None if end is None else int(end)
