"""What every strategy answers: which weights train, what the weights weigh, and how a worker loads them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ray_ft.models.shape import ModelShape
from ray_ft.models.weights import load_weights
from ray_ft.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Offload = Literal["none", "optimizer", "all"]
Backend = Literal["native", "deepspeed"]
"""Who runs the steps: our own engines, or DeepSpeed."""
AUTO_STAGE = -1


@dataclass(frozen=True)
class Strategy:
    """Which weights train and how their state is sharded over the workers."""

    name: str = ""
    """The strategy's name in the registry."""
    zero_stage: int = AUTO_STAGE
    """ZeRO stage 0-3; -1 lets the plan choose."""
    offload: Literal["auto", "none", "optimizer", "all"] = "auto"
    """What lives in host memory: nothing, the optimizer's state, or the parameters too; auto lets the plan choose."""

    default_learning_rate: ClassVar[float] = 1e-5
    is_adapter: ClassVar[bool] = False
    """True: the result is an adapter beside a frozen base; False: a whole model."""
    is_quantised: ClassVar[bool] = False
    """True: bitsandbytes packs the base's weights, so each worker loads them whole, under ZeRO-3 too."""

    @property
    def needs_deepspeed(self) -> bool:
        """Whether DeepSpeed alone can train it: it splits weights and offloads, our own engines have stages 0 to 2."""
        return self.zero_stage == 3 or self.offload in ("optimizer", "all")

    def problems(self) -> Iterator[tuple[str, object, str]]:
        """Fields whose values cannot work, as (field, value, what it must be)."""
        if self.zero_stage not in (-1, 0, 1, 2, 3):
            yield "zero_stage", self.zero_stage, "0, 1, 2, 3, or -1 for the plan's choice"

    def trainable_parameters(self, shape: ModelShape) -> int:
        """Number of parameters that get gradients."""
        raise NotImplementedError

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Bytes of all weights, adapters included, on one GPU before sharding.

        `compute_bytes` is the width of the compute dtype: 2 for bf16 and fp16, 4 for fp32.
        """
        raise NotImplementedError

    def trained_linears(self, shape: ModelShape) -> tuple[str, ...]:
        """Names of a decoder layer's linear layers that train, by themselves or through an adapter."""
        raise NotImplementedError

    def saved_bytes_per_token(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Bytes per token that one decoder layer keeps for the gradients of its trained weights.

        What it keeps to carry the gradient through frozen weights comes on top and is the same for every strategy.
        """
        raise NotImplementedError

    def transient_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Bytes that one layer's forward pass needs beside its activations, whatever the number of tokens."""
        return 0

    def trains_head(self, shape: ModelShape) -> bool:
        """Whether the output head's own weights get gradients."""
        return not self.is_adapter

    def dequantised_parameters(self, shape: ModelShape) -> int:
        """Weights that every pass first turns back from a few bits into the compute dtype."""
        return 0

    def without_zero3(self, shape: ModelShape) -> str:
        """Why weights of this strategy cannot be split over the workers; empty where they can."""
        return ""

    def zero3_shards_base(self) -> bool:
        """Whether ZeRO-3 can split the base's weights over the workers."""
        return True

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        """Load the base from a local folder on a worker and make exactly the weights that train require gradients.

        `dtype` is a torch.dtype, `device` a torch.device. Returns a PeftModel for adapters.
        """
        raise NotImplementedError


STRATEGIES: Registry[Strategy] = Registry("strategy")


def load_base(model_path: str, *, dtype: Any, device: Any, quantization: Any = None) -> "PreTrainedModel":
    """The base with its weights in `dtype` on `device`, or quantised; every weight still trains.

    Attention is PyTorch's SDPA: with restarting position ids and no mask, transformers keeps packed examples apart.
    """
    from transformers.integrations import is_deepspeed_zero3_enabled

    # ZeRO-3 partitions each weight as it is loaded, and chooses the device itself.
    placement = {} if is_deepspeed_zero3_enabled() and quantization is None else {"device_map": {"": str(device)}}
    model = load_weights(model_path, dtype=dtype, quantization=quantization, attn_implementation="sdpa", **placement)
    model.config.use_cache = False  # a cache would switch the isolation of packed examples off
    return model
