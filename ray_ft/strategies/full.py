"""Full fine-tuning: every weight trains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray_ft.model_shape import ModelShape
from ray_ft.strategies.base import STRATEGIES, Strategy

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

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        raise NotImplementedError
