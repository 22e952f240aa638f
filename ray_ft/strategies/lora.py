"""LoRA (arXiv 2106.09685): low-rank adapters train beside frozen 16-bit weights.

Tokens that a run adds to the vocabulary (model.added_tokens) train by their own rows of embedding and head alone, which
keeps the adapter small and every other token's row as it was; `train_embeddings` trains both matrices in full.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ray_ft.errors import ConfigError
from ray_ft.models.added_tokens import added_token_ids
from ray_ft.models.shape import ModelShape
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
    use_dora: bool = False
    """Train each weight's direction and magnitude apart (DoRA, arXiv 2402.09353); slower, better at low ranks."""
    train_embeddings: bool = False
    """Train embeddings and output head in full beside the adapters; for a language that is new to the base."""

    default_learning_rate: ClassVar[float] = 2e-4
    is_adapter: ClassVar[bool] = True

    def problems(self) -> Iterator[tuple[str, object, str]]:
        yield from super().problems()
        if self.r < 1:
            yield "r", self.r, "at least 1"
        if self.lora_alpha <= 0:
            yield "lora_alpha", self.lora_alpha, "above 0"
        if not 0 <= self.lora_dropout < 1:
            yield "lora_dropout", self.lora_dropout, "in [0, 1)"
        names = list(self.target_modules)
        if not names:
            yield "target_modules", names, "a list of linear layers, or [all-linear]"
        if "all-linear" in names and len(names) > 1:
            yield "target_modules", names, "[all-linear] alone, or names without it"
        if self.train_embeddings and "lm_head" in names:
            yield "target_modules", names, "without lm_head, which train_embeddings trains in full"

    def trainable_parameters(self, shape: ModelShape) -> int:
        """r * (inputs + outputs) for every target, as A is [r, inputs] and B [outputs, r]; DoRA: outputs more.

        Embedding and head count once where they are tied.
        """
        targets = [(shape.num_layers, *shape.linears[name]) for name in self.trained_linears(shape)]
        if "lm_head" in self.target_modules:
            targets.append((1, shape.hidden_size, shape.vocab_size))
        adapters = sum(count * self.r * (inputs + outputs) for count, inputs, outputs in targets)
        magnitudes = sum(count * outputs for count, _, outputs in targets) if self.use_dora else 0
        rows = shape.vocab_size if self.train_embeddings else shape.num_added_tokens
        return adapters + magnitudes + (1 if shape.tied else 2) * rows * shape.hidden_size

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        return compute_bytes * (shape.num_parameters + self.trainable_parameters(shape))

    def trains_head(self, shape: ModelShape) -> bool:
        """Added tokens too: peft sets their rows into a copy of the whole matrix, whose gradient is as large."""
        return self.train_embeddings or shape.num_added_tokens > 0

    def without_zero3(self, shape: ModelShape) -> str:
        """peft reads these weights outside of the modules' forward passes, in which DeepSpeed gathers them."""
        if shape.num_added_tokens and not self.train_embeddings and not self.is_quantised:
            return "the rows of model.added_tokens need embedding and head whole; train_embeddings=true does not"
        if self.use_dora and self.is_quantised:
            return "use_dora takes the norms of quantised weights, which have to be whole"
        return ""

    def transient_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """DoRA's norm of W + BA: the identity that peft multiplies BA out with, BA, its scaled copy, and the sum.

        With added tokens, peft's copies of embedding and head.
        """
        largest = 0
        if self.use_dora:
            sizes = (shape.linears[name] for name in self.trained_linears(shape))
            largest = max(inputs * inputs + 3 * inputs * outputs for inputs, outputs in sizes)
        copies = 2 * shape.head_parameters if shape.num_added_tokens and not self.train_embeddings else 0
        return compute_bytes * (largest + copies)

    def trained_linears(self, shape: ModelShape) -> tuple[str, ...]:
        """The target modules; ConfigError for a name that the model does not have."""
        linears = shape.linears
        if self.target_modules == ("all-linear",):
            return tuple(linears)  # peft leaves the output head out of "all-linear"
        unknown = [name for name in self.target_modules if name not in linears and name != "lm_head"]
        if unknown:
            raise ConfigError(
                f"train.strategy.target_modules: {shape.name} ({shape.model_type}) has no linear layer {unknown[0]!r}; "
                f"choose from {', '.join(linears)}, lm_head, or all-linear (names, not paths or patterns)"
            )
        return tuple(name for name in linears if name in self.target_modules)

    def saved_bytes_per_token(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Inputs of the adapted layers, once per shared input, and each adapter's r-wide middle.

        Dropout makes a copy and a one-byte mask of every adapter's input, which nothing shares. DoRA keeps what the
        base and the adapter put out, for the gradient of the magnitudes.
        """
        names = self.trained_linears(shape)
        inputs = {name: shape.linears[name][0] for name in names}
        outputs = 2 * compute_bytes * sum(shape.linears[name][1] for name in names) if self.use_dora else 0
        if self.lora_dropout > 0:
            return outputs + sum((compute_bytes + 1) * width + compute_bytes * self.r for width in inputs.values())
        shared = {SHARED_INPUTS.get(name, name): width for name, width in inputs.items()}
        if not shape.fused:  # attention keeps its output anyway; Phi-3's output projection reads a copy
            shared.pop("attention", None)
        return outputs + compute_bytes * (sum(shared.values()) + self.r * len(names))

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        base = load_base(model_path, dtype=dtype, device=device)
        return self.add_adapters(base, seed=seed, added_tokens=added_token_ids(model_path))

    def add_adapters(
        self, base: "PreTrainedModel", *, seed: int, added_tokens: tuple[int, ...] = ()
    ) -> "PreTrainedModel":
        """Freeze the base and put an adapter beside every target layer; equal seeds give equal adapters.

        The rows of `added_tokens` train too, in embedding and head.
        """
        import torch
        from peft import LoraConfig, get_peft_model

        tied = bool(base.config.tie_word_embeddings)
        matrices = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules="all-linear" if self.target_modules == ("all-linear",) else list(self.target_modules),
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            modules_to_save=matrices if self.train_embeddings else None,
            ensure_weight_tying=tied and self.train_embeddings,
            trainable_token_indices=(
                {name: list(added_tokens) for name in matrices} if added_tokens and not self.train_embeddings else None
            ),
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
