"""Whether two values are the same and where they are not, by their JSON form: what fingerprints are made of."""

import hashlib
import json
from typing import Any

from ray_ft.artifacts.json_form import to_json


def digest(*parts: Any) -> str:
    """First 16 hex digits of the SHA-256 of the parts' JSON; equal for equal values on every machine."""
    text = json.dumps([to_json(p) for p in parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


COMPUTE_THE_SAME = ("train.compile", "train.offload_activations")
"""Keys that change how fast a run is and how much memory it takes."""

CHANGE_THE_END = (
    "train.num_epochs", "train.max_steps", "train.eval_every", "train.load_best", "train.early_stopping_patience",
    "train.early_stopping_min_delta",
)  # fmt: skip
"""Keys that say how long a run goes on and which of its weights it writes; the steps so far stay what they are."""


def without(lines: list[str], keys: tuple[str, ...]) -> list[str]:
    """Those lines of `changed_keys` that speak of other keys."""
    return [line for line in lines if not line.partition(":")[0].endswith(keys)]


def changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two JSON values differ, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [line for k in keys for line in changed_keys(old.get(k), new.get(k), f"{prefix}.{k}" if prefix else k)]
    if _is_same(old, new):
        return []
    return [f"{prefix}: {json.dumps(old)} -> {json.dumps(new)}"]


def _is_same(old: Any, new: Any) -> bool:
    """Whether two values are equal, where older runs have what an interpolation gives, and newer ones its hash."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_is_same, old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return not changed_keys(old, new)
    is_named = isinstance(old, str) and isinstance(new, str) and "${" in new
    return bool(old == new or (is_named and new.endswith(f" #{hashlib.sha256(old.encode()).hexdigest()[:8]}")))
