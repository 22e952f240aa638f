"""The gate of adapters for vLLM: the strict one of the transformers engine, and what vLLM would pass over or refuse."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray_ft.engines.transformers.adapters import read_adapter
from ray_ft.errors import ModelError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as max_lora_rank."""
LEAST_RANK = 16

UNKNOWN = ("use_dora", "modules_to_save", "trainable_token_indices")
PATTERNS = ("rank_pattern", "alpha_pattern")


def check_plain(name: str, folder: str, *, scales_by_pattern: bool = True) -> None:
    """Raise ModelError for an adapter that is more than two factors beside linear layers."""
    if used := beyond_plain(folder, () if scales_by_pattern else PATTERNS):
        raise ModelError(
            f"adapter {name!r} ({folder}) was trained with {used}, which vLLM does not answer with; "
            "set engine.name=transformers"
        )


def beyond_plain(folder: str, also: Sequence[str] = ()) -> str:
    """What an adapter has that vLLM does not answer with; "" where that is nothing.

    A folder that cannot be read is left to the gate, which has its own words for it.
    """
    try:
        config = json.loads((Path(folder) / "adapter_config.json").read_text())
    except (OSError, ValueError):
        return ""
    return next((key for key in (*UNKNOWN, *also) if config.get(key)), "")


def rank_of(name: str, folder: str, *, base: Any, model_path: str, scales_by_pattern: bool) -> int:
    """The rank of an adapter that passes the gate; `base` is the model without data, for its names and shapes."""
    check_plain(name, folder, scales_by_pattern=scales_by_pattern)
    return read_adapter(name, folder, base=base, model_path=model_path).rank


def max_rank(ranks: Sequence[int], wanted: int | None) -> int:
    """The rank that vLLM keeps room for. Raises ModelError for one it cannot have."""
    needed = wanted or max([LEAST_RANK, *ranks])
    for rank in RANKS:
        if rank >= needed:
            return rank
    raise ModelError(f"rank {needed} is more than vLLM's {RANKS[-1]}; set engine.name=transformers")


def check_rank(name: str, rank: int, room: int) -> None:
    """Raise ModelError for an adapter larger than the room that was made at the start."""
    if rank > room:
        raise ModelError(
            f"adapter {name!r} has rank {rank}, the engine was started for {room}; set engine.max_adapter_rank={rank}"
        )
