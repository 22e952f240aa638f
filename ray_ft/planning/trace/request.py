"""What is asked of a trace and what it answers, as plain values that pass between two processes as JSON."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

PHASES = ("forward", "loss", "backward start", "backward end")
"""Of one training step, in order: up to the last layer's output; the head and the loss, there and back; the last
layer's backward pass; the first layer's and the embedding's."""


@dataclass(frozen=True)
class Adapters:
    """Low-rank adapters beside frozen linear layers."""

    r: int
    dropout: float
    target_modules: tuple[str, ...]
    bits: int = 16
    """Of the frozen weights: 16, 8 or 4."""
    double_quant: bool = False


@dataclass(frozen=True)
class TraceRequest:
    """One way to train one model, on one device."""

    config: dict[str, Any]
    """The model's config.json."""
    rows: int
    """Of one forward pass."""
    max_seq_len: int
    adapters: Adapters | None = None
    """None: every weight trains."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    packed: bool = True
    """Rows hold several examples, which a kernel keeps apart; False: a mask does."""
    fused_loss: bool = True
    compiled: bool = True
    liger: bool = False
    """Where nothing is compiled: Liger's norms and gates."""
    gradients_leave: bool = False
    """Gradients go into sums of their own as they come; False: they stay where autograd puts them, and count."""
    checkpointing: bool = False
    offloaded: bool = False
    """With checkpointing: what is kept waits in host memory."""
    whole: bool = True
    """Every worker has all weights, so our own recomputation runs; False: transformers' (ZeRO-3)."""

    def key(self) -> str:
        """Equal for equal requests under equal versions of what is traced."""
        text = json.dumps([dataclasses.asdict(self), _versions()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Line:
    """Bytes that grow with the number of layers; where these are of several kinds, by their mean."""

    fixed: int
    per_layer: int

    def at(self, num_layers: int) -> int:
        return self.fixed + self.per_layer * num_layers


@dataclass(frozen=True)
class TraceResult:
    """Bytes on the device, as the number of layers makes them."""

    num_layers: int
    weights: Line
    phases: dict[str, Line] = field(default_factory=dict)
    """Beside weights and optimizer, at the phase's peak."""
    trained: Line = Line(0, 0)
    """Parameters that get gradients."""
    num_parameters: int = 0
    """Of the whole model, as its config.json describes it."""
    seconds: float = 0.0

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TraceResult":
        values = json.loads(text)
        lines = {name: Line(**line) for name, line in values.pop("phases").items()}
        weights, trained = Line(**values.pop("weights")), Line(**values.pop("trained"))
        return cls(phases=lines, weights=weights, trained=trained, **values)


def request_from_json(text: str) -> TraceRequest:
    values = json.loads(text)
    adapters = values.pop("adapters")
    if adapters is not None:
        adapters = Adapters(**{**adapters, "target_modules": tuple(adapters["target_modules"])})
    return TraceRequest(adapters=adapters, **values)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("ray_ft", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
