"""Makes the folder that a tuned model is given away in: weights, tokenizer, generation config and model card.

Merging happens in the base's own 16- or 32-bit weights, also for an adapter that was trained beside a quantised base.
"""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from ray_ft.artifacts import TunedModel
from ray_ft.errors import ConfigError, ModelError
from ray_ft.models.lay_over import write_beside_weights
from ray_ft.models.quantised import is_quantised
from ray_ft.models.weights import load_weights
from ray_ft.training.export.model_card import RunFacts, model_card
from ray_ft.training.tuned_weights import open_weights

log = logging.getLogger("ray_ft")

Dtype = Literal["bf16", "fp16", "fp32"]
INDEX = "model.safetensors.index.json"


def export_model(
    tuned: TunedModel,
    *,
    path: str,
    merge: bool = False,
    chat_template: str | None = None,
    dtype: Dtype | None = None,
    run: RunFacts | None = None,
) -> Path:
    """Write the tuned model with tokenizer, chat template, generation config and model card to an empty or new folder.

    `dtype` is that of whole weights; None takes bf16 for a model trained on GPUs, and else keeps what is there. An
    adapter keeps the dtype that it was trained in. `run` is what the card tells; None: only what `tuned` knows.
    Raises ConfigError when the folder is not empty, ModelError when the adapter belongs to another base.
    """
    target = _check(tuned, path, merge=merge, dtype=dtype)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    facts = RunFacts(name=target.name, train={}, seed=0) if run is None else run
    on_gpu = facts.plan is not None and facts.plan.gpu != "cpu"
    wanted: Dtype | None = dtype or ("bf16" if on_gpu else None)
    try:
        if merge:
            _merge(tuned, partial, dtype=wanted)
        else:
            shutil.copytree(tuned.path, partial, dirs_exist_ok=True)
            if wanted is not None and not tuned.is_adapter:
                cast_weights(partial, wanted)
        _write_around(tuned, partial, merge=merge, chat_template=chat_template, run=facts)
        open_weights(partial, like="README.md")
        partial.chmod(0o755)  # mkdtemp makes it private
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def cast_weights(folder: Path, dtype: Dtype) -> None:
    """Turn the floating-point weights of a Hugging Face folder into `dtype`, one file after the other."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    wanted, total = _torch_dtype(dtype), 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            about = opened.metadata()
        weights = {k: v.to(wanted) if v.is_floating_point() else v for k, v in load_file(file).items()}
        total += sum(value.nbytes for value in weights.values())
        save_file(weights, file, metadata=about)
    config = json.loads((folder / "config.json").read_text())
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = str(wanted).split(".")[-1]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if (folder / INDEX).is_file():
        index = json.loads((folder / INDEX).read_text())
        index["metadata"] = {**index.get("metadata", {}), "total_size": total}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _check(tuned: TunedModel, path: str, *, merge: bool, dtype: Dtype | None) -> Path:
    target = Path(path).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{path} is not an empty folder; give the path of a new one")
    if merge and not tuned.is_adapter:
        raise ConfigError(f"--merge: {tuned.strategy.name} made a whole model, there is no adapter to merge")
    if dtype is not None and tuned.is_adapter and not merge:
        raise ConfigError("--dtype: an adapter keeps the dtype that it was trained in; add --merge for a whole model")
    if not Path(tuned.path).is_dir():
        raise ModelError(f"{tuned.path}: the tuned model's folder is gone; run `ray-ft train ... --force`")
    return target


def _merge(tuned: TunedModel, path: Path, *, dtype: Dtype | None) -> None:
    """Fold the adapter into the base's unquantised weights, on the host.

    The sum of base and adapter is rounded once to `dtype`; None keeps the base's own.
    """
    from peft import PeftModel

    from ray_ft.engines.transformers.adapters import check_adapter

    check_adapter("export", tuned.path, model_path=tuned.base_path)
    if is_quantised(json.loads((Path(tuned.base_path) / "config.json").read_text())):
        raise ModelError(
            f"{tuned.base_path} is quantised, and merging into a few bits would lose a part of what was learned; "
            "export the adapter without --merge, or train from the unquantised base"
        )
    base = load_weights(tuned.base_path, dtype="auto" if dtype is None else _torch_dtype(dtype))
    _untie(base, tuned.path)
    merged = PeftModel.from_pretrained(base, tuned.path).merge_and_unload()
    merged.config.use_cache = True
    merged.save_pretrained(str(path))


def _untie(base: Any, adapter_path: str) -> None:
    """Where the adapter changes only one of head and embedding, which share a weight, give each its own."""
    import torch

    adapted = json.loads((Path(adapter_path) / "adapter_config.json").read_text())["target_modules"]
    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    if head is None or head.weight is not embedding.weight or not {"lm_head", "embed_tokens"} & set(adapted):
        return
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    base.config.get_text_config().tie_word_embeddings = base.config.tie_word_embeddings = False


def _write_around(tuned: TunedModel, folder: Path, *, merge: bool, chat_template: str | None, run: RunFacts) -> None:
    """Everything that belongs to the weights."""
    tokenizer = write_beside_weights(folder, tuned.base_path, chat_template)
    is_chat = bool(tokenizer.chat_template)
    card = model_card(tuned, run, is_merged=merge, dtype=_written_dtype(folder), is_chat=is_chat)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _torch_dtype(dtype: Dtype) -> Any:
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype]


def _written_dtype(folder: Path) -> str:
    """In words, from the first file of weights."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  safe_open is no mapping
                return {"BF16": "bf16", "F16": "fp16", "F32": "fp32"}.get(opened.get_slice(name).get_dtype(), "")
    return ""
