"""Reads a GGUF file as a base: its tensors become a folder in Hugging Face format, and the rest need not know.

transformers reads what llama.cpp writes, dequantised; of quantised weights the folder has what was left of them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_ft.errors import MissingDependencyError, ModelError, first_line
from ray_ft.models.fetched.cache import kept_once, write_provenance

SUFFIX = ".gguf"
EDGE_BYTES = 2**20
TOKENIZERS = ("gpt2", "llama")
"""tokenizer.ggml.model: byte-level BPE and SentencePiece, which transformers can convert."""


def is_gguf(name: str) -> bool:
    """Whether a model's name is that of a GGUF file, there or not."""
    return name.lower().endswith(SUFFIX)


def gguf_config(path: Path) -> dict[str, Any]:
    """config.json of a GGUF file, by its header; ModelError says why it is no base."""
    _check(path)
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    try:
        config: dict[str, Any] = load_gguf_checkpoint(str(path), return_tensors=False)["config"]
    except (ValueError, KeyError, IndexError, OSError, NotImplementedError) as error:
        raise ModelError(f"model.name: {path} cannot be read: {first_line(error)}") from None
    return {name: value for name, value in config.items() if not name.startswith("_")}


def gguf_folder(path: Path) -> Path:
    """The folder that a GGUF file has become in the user's cache, made once. Raises ModelError where it cannot be."""
    kind = _check(path)
    digest = file_digest(path)

    def make(folder: Path) -> None:
        convert_gguf(path, folder)
        write_provenance(
            folder, {"source": "file", "file": path.name, "digest": digest, "weights": f"dequantised from {kind}"}
        )

    return kept_once(f"{path.stem}-{digest[:12]}", make)


def file_digest(path: Path) -> str:
    """Tells two files apart by name, size, and their first and last MiB: a large one is not read twice."""
    size = path.stat().st_size
    hasher = hashlib.sha256(f"{path.name}:{size}".encode())
    with path.open("rb") as stream:
        hasher.update(stream.read(EDGE_BYTES))
        stream.seek(max(size - EDGE_BYTES, 0))
        hasher.update(stream.read(EDGE_BYTES))
    return hasher.hexdigest()


def convert_gguf(path: Path, folder: Path) -> None:
    """Weights in bf16, config, tokenizer and chat template of a GGUF file, as files below `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ray_ft.models.lay_over import write_tokenizer_config
    from ray_ft.quiet import no_progress_bars

    named = {"gguf_file": path.name, "local_files_only": True}
    try:
        with no_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **named)
            loaded = AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.bfloat16, **named)
    except (ValueError, KeyError, OSError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise ModelError(f"model.name: {path} cannot be read: {first_line(error)}") from error
    config = loaded.config
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    config.dtype = torch.bfloat16
    with torch.device("meta"):
        plain = type(loaded)(config)  # what was read keeps its quantiser, and cannot be saved
    plain.load_state_dict(loaded.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = loaded.generation_config
    with no_progress_bars():
        plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_tokenizer_config(folder, folder, pad_token=tokenizer.pad_token or tokenizer.eos_token)


def _check(path: Path) -> str:
    """Refuse what transformers cannot read, before it tries; returns the quantisation of most tensors."""
    if not path.is_file():
        raise ModelError(f"model.name: no such file {path}")
    fields, kinds = _header(path)
    if int(fields.get("split.count", 1)) > 1:
        raise ModelError(
            f"model.name: {path} is one of {fields['split.count']} parts; join them first, "
            "by `llama-gguf-split --merge FIRST_PART WHOLE.gguf`"
        )
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    architecture = str(fields.get("general.architecture", ""))
    if not {architecture, architecture.replace("moe", "_moe")} & set(GGUF_SUPPORTED_ARCHITECTURES):
        raise ModelError(
            f"model.name: {path} is of architecture {architecture!r}, which transformers does not read from GGUF; it "
            f"reads {', '.join(sorted(GGUF_SUPPORTED_ARCHITECTURES))}: give the model's folder in Hugging Face format"
        )
    if str(fields.get("tokenizer.ggml.model", "")) not in TOKENIZERS:
        has = fields.get("tokenizer.ggml.model")
        what = (
            f"a tokenizer of kind {has!r}, and only {' and '.join(TOKENIZERS)} can be read" if has else "no tokenizer"
        )
        raise ModelError(f"model.name: {path} has {what}: give the model's folder in Hugging Face format")
    return max(kinds, key=lambda kind: kinds[kind]) if kinds else "nothing"


def _header(path: Path) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """The scalar values of a file's header, and how many numbers it holds of each quantisation."""
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingDependencyError(f"model.name: {path} needs the package gguf: pip install gguf") from None
    try:
        reader = GGUFReader(path)
        scalars = {name: field.contents() for name, field in reader.fields.items() if len(field.data) == 1}
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise ModelError(f"model.name: {path} is no whole GGUF file: {first_line(error)}") from None
    kinds: dict[str, int] = {}
    for tensor in reader.tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + int(tensor.n_elements)
    return scalars, kinds
