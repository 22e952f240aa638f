"""What the training loop asks of whatever holds the weights and updates them; choose.py says which there are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Update:
    """What came of one optimizer step, as tensors on the device, so that nobody has to wait for them."""

    grad_norm: Any  # scalar: norm of the whole global batch's gradient before clipping
    skipped: Any  # scalar, 1 where the update was left out and the weights are what they were
    excused: Any  # scalar, 1 where fp16's loss scale was merely too large, which is no fault of the batch


class Engine(Protocol):
    """A model with its optimizer. All ranks call every method, in the same order."""

    module: Any
    """The model itself, as loaded and accelerated."""
    warnings: list[str]
    """Lines for people about how it was set up."""

    def __call__(self, **batch: Any) -> Any:
        """The model's forward pass."""

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add this rank's gradients of `loss`; with `last`, the global batch's last, sum them over the ranks."""

    def step(self, loss: Any, *, learning_rate: float) -> Update:
        """Clip and update, unless `loss` (a scalar on the device, equal on all ranks) or a gradient is not finite."""

    def train(self) -> None:
        """Dropout on."""

    def eval(self) -> None:
        """Dropout off."""

    def trainable_weights(self) -> dict[str, Any]:
        """The weights that train, by name, on rank 0's host; empty on the others."""

    def host_state(self) -> dict[str, Any]:
        """What this rank must write to go on from here, by file name: a copy in host memory, safe from later steps."""

    def load_state(self, folder: Path) -> None:
        """Go back to the `host_state` whose files are in `folder`."""
