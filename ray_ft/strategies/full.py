"""Full fine-tuning: every weight trains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray_ft.models.shape import ModelShape
from ray_ft.strategies.base import STRATEGIES, Strategy, load_base

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@STRATEGIES.register("full")
@dataclass(frozen=True)
class Full(Strategy):
    """Train all weights; the most memory, and the choice for large corpora of raw text."""

    name: str = "full"

    def trainable_parameters(self, shape: ModelShape) -> int:
        return shape.num_parameters

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        return compute_bytes * shape.num_parameters

    def trained_linears(self, shape: ModelShape) -> tuple[str, ...]:
        return tuple(shape.linears)

    def saved_bytes_per_token(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Inputs of the linear layers, and what the norms multiply with their weights.

        The output projection's input is counted with attention, which keeps its output anyway; Phi-3's is a copy.
        """
        normalised = 2 * shape.hidden_size  # one tensor per norm, before its weight is applied
        if shape.qk_norm:
            normalised += shape.query_size + shape.key_size
        inputs = 2 * shape.hidden_size + shape.intermediate_size  # of query-key-value, gate-up, down
        if shape.fused:
            inputs += shape.query_size
        return (4 if shape.wide_norms else compute_bytes) * normalised + compute_bytes * inputs

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        return load_base(model_path, dtype=dtype, device=device)
