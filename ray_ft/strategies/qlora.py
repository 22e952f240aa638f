"""QLoRA (arXiv 2305.14314): LoRA beside a base quantised to 4 bits (NF4) or 8 bits with bitsandbytes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ray_ft.model_shape import ModelShape
from ray_ft.strategies.base import STRATEGIES
from ray_ft.strategies.lora import LoRA

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@STRATEGIES.register("qlora")
@dataclass(frozen=True)
class QLoRA(LoRA):
    """Train low-rank adapters; the base is frozen and quantised."""

    name: str = "qlora"
    bits: Literal[4, 8] = 4
    """4: NF4; 8: LLM.int8()."""
    double_quant: bool = True
    """Quantise the quantisation constants too: 0.5159 instead of 0.5625 bytes per parameter (4 bits only)."""

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        raise NotImplementedError

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        raise NotImplementedError
