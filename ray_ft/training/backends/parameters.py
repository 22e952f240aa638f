"""The parameters that train, in the groups that every backend's AdamW gets."""

from typing import Any


def parameter_groups(model: Any, *, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters that train, for AdamW; biases and norms are not decayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    # Under ZeRO-3 a parameter is flat, and ds_shape is what it was.
    decayed = [p for p in trainable if len(getattr(p, "ds_shape", p.shape)) >= 2]
    others = [p for p in trainable if len(getattr(p, "ds_shape", p.shape)) < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
