"""Whether two values are the same and where they are not, by their JSON form: what fingerprints are made of."""

import hashlib
import json
from typing import Any

from ray_ft.artifacts.json_form import to_json


def digest(*parts: Any) -> str:
    """First 16 hex digits of the SHA-256 of the parts' JSON; equal for equal values on every machine."""
    text = json.dumps([to_json(p) for p in parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two JSON values differ, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [line for k in keys for line in changed_keys(old.get(k), new.get(k), f"{prefix}.{k}" if prefix else k)]
    if old == new:
        return []
    return [f"{prefix}: {json.dumps(old)} -> {json.dumps(new)}"]
