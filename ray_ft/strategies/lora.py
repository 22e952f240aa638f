"""LoRA (arXiv 2106.09685): low-rank adapters train beside frozen 16-bit weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ray_ft.errors import ConfigError
from ray_ft.model_shape import ModelShape
from ray_ft.strategies.base import STRATEGIES, Strategy, load_base

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
        """r * (inputs + outputs) for every target: A is [r, inputs], B is [outputs, r]."""
        linears = shape.linears
        adapters = shape.num_layers * sum(sum(linears[name]) for name in self.trained_linears(shape))
        if "lm_head" in self.target_modules:
            adapters += shape.hidden_size + shape.vocab_size
        return self.r * adapters

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        return compute_bytes * (shape.num_parameters + self.trainable_parameters(shape))

    def trained_linears(self, shape: ModelShape) -> tuple[str, ...]:
        """The target modules; ConfigError for a name that the model does not have."""
        linears = shape.linears
        if self.target_modules == ("all-linear",):
            return tuple(linears)  # peft leaves the output head out of "all-linear"
        unknown = [name for name in self.target_modules if name not in linears and name != "lm_head"]
        if unknown:
            raise ConfigError(
                f"train.strategy.target_modules: {shape.name} ({shape.model_type}) has no linear layer {unknown[0]!r}; "
                f"choose from {', '.join(linears)}, or all-linear"
            )
        return tuple(name for name in linears if name in self.target_modules)

    def saved_bytes_per_token(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Inputs of the adapted layers, once per shared input, and each adapter's r-wide middle.

        Dropout makes a copy and a one-byte mask of every adapter's input, which nothing shares.
        """
        names = self.trained_linears(shape)
        inputs = {name: shape.linears[name][0] for name in names}
        if self.lora_dropout > 0:
            return sum((compute_bytes + 1) * width + compute_bytes * self.r for width in inputs.values())
        shared = {SHARED_INPUTS.get(name, name): width for name, width in inputs.items()}
        if not shape.fused:  # attention keeps its output anyway; Phi-3's output projection reads a copy
            shared.pop("attention", None)
        return compute_bytes * (sum(shared.values()) + self.r * len(names))

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        return self.add_adapters(load_base(model_path, dtype=dtype, device=device), seed=seed)

    def add_adapters(self, base: "PreTrainedModel", *, seed: int) -> "PreTrainedModel":
        """Freeze the base and put an adapter beside every target layer; equal seeds give equal adapters."""
        import torch
        from peft import LoraConfig, get_peft_model

        targets = "all-linear" if self.target_modules == ("all-linear",) else list(self.target_modules)
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=targets,
            use_rslora=self.use_rslora,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            try:
                # DeepSpeed keeps the fp32 masters; adapters wider than their base break ZeRO-3's buckets.
                return get_peft_model(base, config, autocast_adapter_dtype=False)
            except ValueError as error:
                raise ConfigError(f"train.strategy: {str(error).strip().splitlines()[0]}") from error


SHARED_INPUTS = {
    "q_proj": "hidden", "k_proj": "hidden", "v_proj": "hidden", "qkv_proj": "hidden",
    "o_proj": "attention", "gate_proj": "mlp", "up_proj": "mlp", "gate_up_proj": "mlp",
}  # fmt: skip
"""Linear layers that read one tensor keep it once."""
