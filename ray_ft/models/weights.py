"""Reads a base: the one loader of training, engines and export, and what can be refused before it, by headers alone.

transformers fills every weight that it does not find with random numbers, and goes on. Here that is an error with the
names of what is missing, as are weights that the model has no place for, and weights that are no numbers.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_ft.errors import ModelError, first_line
from ray_ft.models.quantised import is_quantised, keep_as_stored, refuse_foreign_quantisation
from ray_ft.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""In the order in which transformers looks for them; more than one file has an index, NAME.index.json."""
MAX_NAMED = 2


def load_weights(model_path: str | Path, *, dtype: Any, quantization: Any = None, **options: Any) -> "PreTrainedModel":
    """The causal language model of a folder, in `dtype` or quantised; all of its weights come from the files.

    `options` go to transformers' from_pretrained: where to, and which attention. Raises ModelError, in one line, for a
    folder that holds no such model, or not all of it, or more; torch.OutOfMemoryError is the caller's.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    refuse_foreign_quantisation(_config(model_path), str(model_path))
    if quantization is not None:
        empty_model(model_path)  # packed weights have lost their shape by the time that it is looked at
        # bitsandbytes packs what is no number as if it were one.
        _check_stored(model_path, device=next(iter(options.get("device_map", {"": "cpu"}).values())))
        options["quantization_config"] = quantization  # None would hide what config.json says of itself
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            str(model_path),
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:  # missing, cut short, unknown
        raise ModelError(f"{model_path}: the model cannot be loaded: {first_line(error)}") from error
    _refuse_other_weights(model_path, model, found)
    # A parameter that ZeRO-3 has split has its part beside it; four bits may lie in a tensor that calls them floats.
    named = ((name, p) for name, p in model.named_parameters() if getattr(p, "quant_state", None) is None)
    _refuse_infinite(model_path, ((name, getattr(p, "ds_tensor", p)) for name, p in named))
    kept: PreTrainedModel = keep_as_stored(model)
    return kept


def check_base(model_path: str | Path) -> None:
    """Refuse what `load_weights` would, by config.json, tokenizer and the headers of the weights' files; seconds.

    Raises ModelError. NaN and infinite weights show only when they are read.
    """
    refuse_foreign_quantisation(_config(model_path), str(model_path))
    _check_tokenizer(model_path, num_rows=len(empty_model(model_path).get_input_embeddings().weight))


def empty_model(model_path: str | Path) -> "PreTrainedModel":
    """The model without data, after its weights have been compared with the headers of its files. Raises ModelError."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = AutoConfig.from_pretrained(model_path, local_files_only=True)
        packed = is_quantised(config.to_dict())
        if packed:
            del config.quantization_config
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise ModelError(f"{model_path}: transformers knows no language model of type {config.model_type!r}")
        stored = _headers(model_path, packed=packed)
        with torch.device("meta"):
            model, found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
                None,
                config=config,
                state_dict=stored,
                device_map={"": "meta"},
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{model_path}: the model cannot be loaded: {first_line(error)}") from error
    if packed:  # several numbers to a byte, so their shapes say nothing
        found["mismatched_keys"] = ()
    _refuse_other_weights(model_path, model, found)
    empty: PreTrainedModel = model
    return empty


def _config(model_path: str | Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((Path(model_path) / "config.json").read_text())
    except FileNotFoundError:
        raise ModelError(
            f"no model in {model_path}: it has no config.json; give a folder in Hugging Face format"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{model_path}: cannot read config.json: {first_line(error)}") from None
    return config


def _refuse_other_weights(model_path: str | Path, model: Any, found: dict[str, Any]) -> None:
    """Every weight of the model has to come from the files, in its shape, and every one of the files has a place.

    What transformers itself leaves out by name is none: tied weights, buffers that are computed, and layers that only
    pre-training uses.
    """
    tied = getattr(model, "all_tied_weights_keys", ())
    missing, unexpected = sorted(set(found["missing_keys"]).difference(tied)), sorted(found["unexpected_keys"])
    names = {name for name, _ in model.named_parameters()}.union(missing)
    others = f"hold {len(unexpected)} that the model has no place for ({_some(unexpected)})" if unexpected else ""
    if missing:
        raise ModelError(
            f"{model_path}: {len(missing)} of {len(names)} weights are not in its files "
            f"({_some(missing)}){f', which {others}' if others else ''}; save the whole model there by save_pretrained"
        )
    if others:
        raise ModelError(f"{model_path}: its files {others}; name the model's own config.json, or leave them out")
    if shapes := sorted(found["mismatched_keys"]):
        name, stored, wanted = shapes[0]
        raise ModelError(
            f"{model_path}: {len(shapes)} weights have another shape than config.json says, as {name}, "
            f"{list(stored)} instead of {list(wanted)}; name the config.json that they were saved with"
        )


def _refuse_infinite(model_path: str | Path, weights: "Iterator[tuple[str, torch.Tensor]]") -> None:
    import torch

    broken, dtype = [], None
    for name, weight in weights:
        if weight.is_floating_point() and weight.numel() and weight.device.type != "meta":
            low, high = torch.aminmax(weight.detach())  # one pass, without a tensor of the weight's size
            if not torch.isfinite(low) or not torch.isfinite(high):
                broken.append(name)
                dtype = weight.dtype
    if broken:
        narrow = " or in fp16, which ends at 65504" if dtype == torch.float16 else ""
        raise ModelError(
            f"{model_path}: {len(broken)} weights hold NaN or infinite numbers ({_some(broken)}), in its files{narrow}"
            "; fetch the base again, or take another"
        )


def _check_stored(model_path: str | Path, *, device: Any) -> None:
    for file in _files(Path(model_path)):
        for name, weight in _read(file, device=str(device)):
            _refuse_infinite(model_path, iter([(name, weight)]))


def _check_tokenizer(model_path: str | Path, *, num_rows: int) -> None:
    """A token without a row in the embedding ends in an index that is out of range, on a GPU in the middle of a run."""
    vocabulary = load_tokenizer(model_path).get_vocab()
    without = sorted((i, token) for token, i in vocabulary.items() if i >= num_rows)
    if without:
        named = [token for _, token in without]
        raise ModelError(
            f"{model_path}: the embedding has {num_rows} rows, and the tokenizer {len(named)} tokens beyond them "
            f"({_some(named)}); take the tokenizer of these weights, or save both after resize_token_embeddings"
        )


def _headers(model_path: str | Path, *, packed: bool) -> "dict[str, torch.Tensor]":
    """Shapes of all weights in a folder's files, as tensors without data; `packed` ones without their constants."""
    names: dict[str, torch.Tensor] = {}
    for file in _files(Path(model_path)):
        names |= _read(file, device="meta")
    if packed:  # bitsandbytes' constants are called after their weight: NAME.weight.absmax, NAME.SCB
        companions = (".SCB", ".weight_format")
        return {n: t for n, t in names.items() if ".weight." not in n and not n.endswith(companions)}
    return names


def _files(folder: Path) -> list[Path]:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}.index.json").is_file():
            files = [folder / file for file in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
            if absent := [file.name for file in files if not file.is_file()]:
                raise ModelError(f"{folder}: {len(absent)} of its {len(files)} files of weights are not there "
                                 f"({_some(absent)}); fetch the base again")  # fmt: skip
            return files
    raise ModelError(f"{folder}: no weights; there is neither {' nor '.join(WEIGHTS)}, nor an index of several files")


def _read(file: Path, *, device: str) -> "Iterator[tuple[str, torch.Tensor]]":
    """Weights of a file, one after the other; on "meta" nothing but its header is read."""
    import torch
    from safetensors import safe_open

    if file.suffix == ".bin":
        yield from torch.load(file, map_location=device, weights_only=True, mmap=True).items()
        return
    with safe_open(file, framework="pt", device="cpu" if device == "meta" else device) as opened:
        for name in opened.keys():  # noqa: SIM118  safe_open is no mapping
            if device == "meta":
                yield name, torch.empty(opened.get_slice(name).get_shape(), device="meta")
            else:
                yield name, opened.get_tensor(name)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
