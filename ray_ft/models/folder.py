"""Finds the base model's folder: on the hub, on disk, in a GGUF file, made or fetched; tells two bases apart."""

import hashlib
import json
from pathlib import Path

from ray_ft.errors import ModelError
from ray_ft.models.builtin import BUILTIN_CONFIGS, BUILTIN_PREFIX, SMOLLM2, build_builtin, no_such_builtin
from ray_ft.models.fetched.gguf import gguf_folder, is_gguf
from ray_ft.models.fetched.smollm2 import smollm2_folder
from ray_ft.models.tokenizer import TOKENIZER_FILES


def resolve_model(
    name: str, *, output_dir: str | Path, revision: str | None = None, tokenizer_only: bool = False
) -> str:
    """Local folder of a model; downloads or builds it when it is not there yet.

    A builtin model is built once, below `output_dir`, so that every worker that sees the run folder loads the same
    weights; what is fetched or converted lies in the user's cache.
    Raises ModelError when there is no such model or the hub cannot be reached.
    """
    if name.startswith(BUILTIN_PREFIX):
        if name == SMOLLM2:
            return str(smollm2_folder())
        builtin = name.removeprefix(BUILTIN_PREFIX)
        if builtin not in BUILTIN_CONFIGS:
            raise no_such_builtin(name)
        return str(build_builtin(builtin, Path(output_dir) / "builtin"))
    path = Path(name).expanduser()
    if is_gguf(name):
        return str(gguf_folder(path))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"model.name: {name} is a folder without config.json; give a folder in Hugging Face format"
            )
        return str(path.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"model.name: no such folder {name}")
    return _download(name, revision, tokenizer_only)


def _download(name: str, revision: str | None, tokenizer_only: bool) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    patterns = list(TOKENIZER_FILES) if tokenizer_only else [*TOKENIZER_FILES, "*.json", "*.safetensors", "*.jinja"]
    try:
        return str(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except GatedRepoError:
        raise ModelError(f"model.name: {name} is gated; accept its terms on the hub and set HF_TOKEN") from None
    except RevisionNotFoundError:
        raise ModelError(f"model.revision: {name} has no revision {revision!r}") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(f"model.name: no model {name!r} on the hub, and no such folder") from None
    except Exception:  # offline: the hub's client raises errors of whichever HTTP library it uses
        raise ModelError(
            f"model.name: {name!r} is no folder here, not in the local cache, and the hub cannot be reached; "
            "give a local folder, or builtin:tiny to try the pipeline"
        ) from None


def base_digest(model_path: str | Path) -> str:
    """Tells two bases apart without reading all of their weights.

    Covers config.json, and of every weight file its name, size, first and last MiB (safetensors keeps its header,
    with every tensor's name, shape and place, at the front).
    """
    folder = Path(model_path)
    hasher = hashlib.sha256()
    config = json.loads((folder / "config.json").read_text())
    for volatile in ("transformers_version", "_name_or_path"):
        config.pop(volatile, None)
    hasher.update(json.dumps(config, sort_keys=True).encode())
    for file in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")):
        size = file.stat().st_size
        hasher.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            hasher.update(stream.read(2**20))
            stream.seek(max(size - 2**20, 0))
            hasher.update(stream.read(2**20))
    return hasher.hexdigest()[:16]
