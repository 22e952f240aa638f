"""What every strategy answers: which weights train, what the weights weigh, and how a worker loads them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ray_ft.model_shape import ModelShape
from ray_ft.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Offload = Literal["none", "optimizer", "all"]
AUTO_STAGE = -1


@dataclass(frozen=True)
class Strategy:
    """Which weights train and how their state is sharded over the workers."""

    name: str = ""
    """The strategy's name in the registry."""
    zero_stage: int = AUTO_STAGE
    """DeepSpeed ZeRO stage 0-3; -1 lets the plan choose."""
    offload: Literal["auto", "none", "optimizer", "all"] = "auto"
    """What lives in host memory: nothing, the optimizer's state, or the parameters too; auto lets the plan choose."""

    default_learning_rate: ClassVar[float] = 1e-5
    is_adapter: ClassVar[bool] = False
    """True: the result is an adapter beside a frozen base; False: a whole model."""

    def trainable_parameters(self, shape: ModelShape) -> int:
        """Number of parameters that get gradients."""
        raise NotImplementedError

    def weight_bytes(self, shape: ModelShape, *, compute_bytes: int = 2) -> int:
        """Bytes of all weights on one GPU before sharding; `compute_bytes` is the width of the compute dtype (2 for bf16)."""
        raise NotImplementedError

    def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> "PreTrainedModel":
        """Load the base from a local folder on a worker and make exactly the weights that train require gradients.

        `dtype` is a torch.dtype, `device` a torch.device. Returns a PeftModel for adapters.
        """
        raise NotImplementedError


STRATEGIES: Registry[Strategy] = Registry("strategy")
