"""LoRA (arXiv 2106.09685): low-rank adapters train beside frozen 16-bit weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ray_ft.model_shape import ModelShape
from ray_ft.strategies.base import STRATEGIES, Strategy

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@STRATEGIES.register("lora")
@dataclass(frozen=True)
class LoRA(Strategy):
    """Train low-rank adapters; the base stays frozen in the compute dtype."""

    name: str = "lora"
    r: int = 16
    """Rank of the adapters."""
    lora_alpha: int = 32
    """Scale: the adapter's output is multiplied by lora_alpha / r."""
    lora_dropout: float = 0.0
    """Dropout on the adapter's input."""
    target_modules: tuple[str, ...] = ("all-linear",)
    """Names of the linear layers that get an adapter, or "all-linear"."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(r) instead (arXiv 2312.03732); better for high ranks."""

    default_learning_rate: ClassVar[float] = 2e-4
    is_adapter: ClassVar[bool] = True

    def trainable_parameters(self, shape: ModelShape) -> int:
        raise NotImplementedError

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        return compute_bytes * shape.num_parameters

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        raise NotImplementedError
