"""QLoRA (arXiv 2305.14314): LoRA beside a base quantised to 4 bits (NF4) or 8 bits with bitsandbytes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ray_ft.models.added_tokens import added_token_ids
from ray_ft.models.shape import ModelShape
from ray_ft.strategies.base import STRATEGIES, load_base
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

    is_quantised: ClassVar[bool] = True

    def problems(self) -> Iterator[tuple[str, object, str]]:
        yield from super().problems()
        if self.use_dora and self.bits == 8:
            yield "use_dora", True, "false with bits=8: bitsandbytes cannot compute with int8 weights after their norm"

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Linear layers of the decoder quantised; embedding, norms, output head and adapters in the compute dtype."""
        other = shape.num_parameters - shape.layer_parameters + self.trainable_parameters(shape)
        return compute_bytes * other + self.quantised_bytes(shape)

    def quantised_bytes(self, shape: ModelShape) -> int:
        """Bytes of the quantised weights and their constants.

        NF4 packs two weights per byte and adds an fp32 constant for every 64: 1/2 + 4/64. Double quantisation stores
        those constants in one byte, with an fp32 constant for every 256 of them: 1/2 + 1/64 + 4/(64 * 256).
        LLM.int8() has one byte per weight and an fp32 scale per output.
        """
        weights = shape.layer_parameters
        if self.bits == 8:
            return weights + 4 * shape.num_layers * sum(outputs for _, outputs in shape.linears.values())
        constants = 1 / 64 + 4 / (64 * 256) if self.double_quant else 4 / 64
        return round(weights * (1 / 2 + constants))

    def dequantised_parameters(self, shape: ModelShape) -> int:
        return shape.layer_parameters

    def zero3_shards_base(self) -> bool:
        """ZeRO-3 splits only floating-point storage, which NF4 can hide in and int8 cannot."""
        return self.bits == 4

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        base = load_base(model_path, dtype=dtype, device=device, quantization=self.quantization(dtype))
        return self.add_adapters(base, seed=seed, added_tokens=added_token_ids(model_path))

    def quantization(self, dtype: Any) -> Any:
        """How bitsandbytes stores the base, and the dtype it computes in."""
        import torch
        from transformers import BitsAndBytesConfig

        if self.bits == 8:
            return BitsAndBytesConfig(load_in_8bit=True)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=dtype,
            # ZeRO-3 splits only floating-point storage; the bits inside are the same.
            bnb_4bit_quant_storage=dtype if self.zero_stage == 3 else torch.uint8,
        )
