"""Bases with a larger vocabulary: a folder like the base's own, with `model.added_tokens` in tokenizer and matrices.

The rest of the pipeline takes that folder for the base, so preparing, training, evaluating, serving and merging need to
know nothing of it; strategies ask for the ids whose rows are new.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.folder import base_digest
from ray_ft.models.lay_over import write_tokenizer_config
from ray_ft.models.tokenizer import TOKENIZER_FILES, load_tokenizer, tokenizer_digest

if TYPE_CHECKING:
    import torch

log = logging.getLogger("ray_ft")

RECORD = "ray_ft_added_tokens.json"
MATRICES = ("model.embed_tokens.weight", "lm_head.weight")
INDEX = "model.safetensors.index.json"


def with_added_tokens(
    model_path: str, tokens: Sequence[str], *, output_dir: str | Path, tokenizer_only: bool = False
) -> str:
    """The base's folder, or one below `output_dir` that has `tokens` too; made once.

    Weight files without embedding or head are links to the base's. A new row of embedding or head is the mean of the
    rows of the pieces that the token was split into before, so that its meaning starts where the base had it.
    Raises ConfigError for a token that is there already, ModelError for weights that are not in safetensors.
    """
    if not tokens:
        return model_path
    of_base = "tokenizer" if tokenizer_only else base_digest(model_path)
    key = hashlib.sha256(json.dumps([tokenizer_digest(model_path), of_base, *tokens]).encode()).hexdigest()[:8]
    name = f"{Path(model_path).name}-{key}"
    target = Path(output_dir).resolve() / "added_tokens" / name
    if (target / RECORD).is_file():
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        _make(Path(model_path), tokens, partial, tokenizer_only=tokenizer_only)
        partial.chmod(0o755)  # mkdtemp makes it private
        try:
            partial.rename(target)
        except OSError:  # another process was first; its copy is as good
            if not (target / RECORD).is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return str(target)


def added_token_ids(model_path: str | Path) -> tuple[int, ...]:
    """Ids that `with_added_tokens` gave; none for a base as it came."""
    path = Path(model_path) / RECORD
    return tuple(json.loads(path.read_text())["ids"]) if path.is_file() else ()


def _make(source: Path, tokens: Sequence[str], folder: Path, *, tokenizer_only: bool) -> None:
    tokenizer: Any = load_tokenizer(source)
    pieces = _add(tokenizer, tokens)
    ids = [int(tokenizer.convert_tokens_to_ids(token)) for token in tokens]
    wanted = None if tokenizer_only else {f.name for f in source.iterdir()} - {INDEX, "config.json"}
    for file in source.iterdir():
        is_tokenizers = any(file.match(pattern) for pattern in TOKENIZER_FILES)
        if file.is_file() and (is_tokenizers if wanted is None else file.name in wanted):
            (folder / file.name).symlink_to(file.resolve())
    _write_config(source, folder, num_tokens=max(ids) + 1)
    if not tokenizer_only:
        _write_weights(source, folder, ids, pieces)
    for file in folder.iterdir():  # what is written anew must not follow a link into the base
        if file.is_symlink() and any(file.match(pattern) for pattern in TOKENIZER_FILES):
            file.unlink()
    tokenizer.save_pretrained(folder)
    write_tokenizer_config(folder, source, pad_token=tokenizer.pad_token)
    (folder / RECORD).write_text(json.dumps({"base": str(source), "tokens": list(tokens), "ids": ids}, indent=1) + "\n")


def _add(tokenizer: Any, tokens: Sequence[str]) -> list[list[int]]:
    """Put the tokens into the tokenizer; returns the ids that each was split into before."""
    from transformers import AddedToken

    known = tokenizer.get_vocab()
    pieces = []
    for token in tokens:
        if token in known or not token.strip():
            raise ConfigError(f"model.added_tokens: {token!r} is in the tokenizer's vocabulary already; leave it out")
        pieces.append(list(tokenizer.encode(token, add_special_tokens=False)))
    # Not special: decoding keeps them, and they are found inside the text of documents and answers.
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])
    return pieces


def _write_config(source: Path, folder: Path, *, num_tokens: int) -> None:
    """Many bases have more rows than tokens, for a round number; those are taken before new ones are made."""
    config = json.loads((source / "config.json").read_text())
    config["vocab_size"] = max(int(config["vocab_size"]), num_tokens)
    (folder / "config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _write_weights(source: Path, folder: Path, ids: list[int], pieces: list[list[int]]) -> None:
    """Files with embedding or head anew, in place of their links."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise ModelError(f"model.added_tokens: {source} has no safetensors to add rows to; convert the base first")
    places: dict[str, str] = {}
    grown = 0
    for file in files:
        with safe_open(file, framework="pt") as opened:
            names, about = set(opened.keys()), opened.metadata()
        places |= dict.fromkeys(names, file.name)
        if names.isdisjoint(MATRICES):
            continue
        weights = load_file(file)
        for name in names.intersection(MATRICES):
            rows = _with_rows(weights[name], ids, pieces)
            grown += rows.nbytes - weights[name].nbytes
            weights[name] = rows
        (folder / file.name).unlink()
        save_file(weights, folder / file.name, metadata=about)
    if MATRICES[0] not in places:
        raise ModelError(f"model.added_tokens: {source} has no {MATRICES[0]}; its architecture is not known here")
    if (source / INDEX).is_file():
        index = json.loads((source / INDEX).read_text())
        index.setdefault("metadata", {})["total_size"] = int(index.get("metadata", {}).get("total_size", 0)) + grown
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _with_rows(matrix: "torch.Tensor", ids: list[int], pieces: list[list[int]]) -> "torch.Tensor":
    """The matrix with a row for each id: the mean of the rows of the token's old pieces."""
    import torch

    missing = max(ids) + 1 - len(matrix)
    matrix = torch.cat([matrix, matrix.new_zeros(max(0, missing), matrix.shape[1])])  # a copy in any case
    for i, old in zip(ids, pieces, strict=True):
        matrix[i] = matrix[old].float().mean(dim=0).to(matrix.dtype)
    return matrix
