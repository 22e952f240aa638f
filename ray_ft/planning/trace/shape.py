"""A shape for a model whose architecture has no formulas: enough to choose a strategy by, before a trace says more."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ray_ft.models.shape import ModelShape, shape_from_config
from ray_ft.planning.trace.process import run_trace
from ray_ft.planning.trace.request import TraceRequest


def shape_by_trace(config: Mapping[str, Any], name: str) -> ModelShape:
    """Llama's shape with this model's widths, and the number of parameters that the model really has.

    Raises ModelError for a config.json without the widths, and for a model that transformers cannot make or trace.
    """
    inner = {**config, **(config.get("text_config") or {})}
    alike = shape_from_config({**inner, "model_type": "llama"}, name)
    found = run_trace(TraceRequest(config=dict(config), rows=1, max_seq_len=64, fused_loss=False, compiled=False))
    return replace(alike, model_type=str(config.get("model_type")), num_parameters=found.num_parameters, exact=False)
