"""Whether packed examples see each other in an architecture: a small copy of it, random weights, real rows, on the CPU.

Attention is kept apart by position ids that restart. Layers that carry a state along the row (linear attention, state
spaces, convolutions) know nothing of them, and would train every example on what was left of the one before.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_ft.errors import ModelError, first_line

log = logging.getLogger("ray_ft")

TOLERANCE = 1e-3
"""Relative: rounding in fp32 stays below 1e-5, one attended token of another example is above 1e-2."""
MAX_EXAMPLE_TOKENS = 96
MAX_EXAMPLES = 4  # of a row
VOCABULARY = 512
SMALL = {
    "vocab_size": VOCABULARY, "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 4096,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64, "linear_num_key_heads": 2,
    "linear_num_value_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
"""Values for the small copy, where the configuration has the key; the size of a head stays, for rotary tables."""
STATEFUL = ("linear", "mamba", "ssm", "recurrent", "conv", "rwkv", "retention", "delta")
Ids = npt.NDArray[np.int32]


def isolate(model_path: str, rows: Sequence[Sequence[Ids]]) -> float | None:
    """The largest relative difference between an example's loss in a packed row and alone.

    None, with a warning, where no small copy of the architecture can be made. Raises ModelError when the model's code
    is not in transformers.
    """
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        try:
            model = small_copy(model_path)
            return max(_difference(model, [part[:MAX_EXAMPLE_TOKENS] for part in row[:MAX_EXAMPLES]]) for row in rows)
        except Exception as error:  # a size that an architecture does not take shows in its own way
            if reason := why_state_leaks(model_path):
                raise ModelError(f"packed examples would see each other in {model_path}{reason}") from None
            log.warning("packing was not tried on a small copy of %s: %s", model_path, first_line(error))
            return None


def why_state_leaks(model_path: str) -> str:
    """Which of the configuration's layers carry a state along the row, as the end of a sentence; "" for none."""
    config = json.loads((Path(model_path) / "config.json").read_text())
    named = [str(kind) for kind in config.get("layer_types") or []] + [str(config.get("model_type"))]
    named += [key for key, value in config.items() if value and key.startswith(("mamba_", "ssm_", "linear_", "lru_"))]
    found = next((name for name in named if any(word in name for word in STATEFUL)), None)
    return f", because its {found} layers carry a state from one into the next" if found else ""


def small_copy(model_path: str) -> Any:
    """The architecture with two layers, or one of each kind, of two heads, in fp32 with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(model_path, local_files_only=True)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // getattr(config, "num_attention_heads", 1)
    kinds = list(dict.fromkeys(getattr(config, "layer_types", None) or []))
    grouped = (getattr(config, "num_key_value_heads", None) or 0) < (getattr(config, "num_attention_heads", 0) or 0)
    values = SMALL | {
        "num_hidden_layers": max(2, len(kinds)),
        "layer_types": (kinds * 2)[: max(2, len(kinds))] or None,
        "hidden_size": 2 * head_dim,
        "num_key_value_heads": 1 if grouped else 2,
    }
    for key, value in values.items():
        if getattr(config, key, None) is not None:
            setattr(config, key, value)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, attn_implementation=_attention(config), dtype=torch.float32)
    for parameter in model.parameters():
        if parameter.dim() >= 2:  # the usual small weights would hide what a layer lets through
            torch.nn.init.normal_(parameter, std=2.0 / parameter.shape[-1] ** 0.5)
    return model.eval()


def _attention(config: Any) -> str | None:
    """PyTorch's SDPA, as in training, where the architecture has attention."""
    return "sdpa" if getattr(config, "num_attention_heads", None) else None


def _difference(model: Any, parts: Sequence[Ids]) -> float:
    """Mean losses over all tokens of each example, in one row with restarting positions and in rows of their own."""
    ids = [np.asarray(part, dtype=np.int64) % VOCABULARY for part in parts]
    logits = _logits(model, np.concatenate(ids), np.concatenate([np.arange(len(part)) for part in ids]))
    start, largest = 0, 0.0
    for part in ids:
        packed = _loss(logits[start : start + len(part)], part)
        alone = _loss(_logits(model, part, np.arange(len(part))), part)
        largest = max(largest, abs(packed - alone) / alone)
        start += len(part)
    return largest


def _logits(model: Any, ids: npt.NDArray[np.int64], positions: npt.NDArray[np.int64]) -> Any:
    import torch

    # Neither mask nor cache, as in training: with either, transformers does not look for restarting positions.
    output = model(
        input_ids=torch.from_numpy(ids)[None], position_ids=torch.from_numpy(positions)[None], use_cache=False
    )
    return output.logits[0].double()


def _loss(logits: Any, ids: npt.NDArray[np.int64]) -> float:
    import torch

    return float(torch.nn.functional.cross_entropy(logits[:-1], torch.from_numpy(ids[1:])))
