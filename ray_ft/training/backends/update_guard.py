"""Decides on the device, for every engine, what becomes of an update: made, left out, or left out and nobody's fault.

Left out is what is not finite, and a gradient far larger than those before it. In fp16 a gradient that is not finite
beside a loss that is means that the loss scale was too large: the scale falls, and no batch is to blame.
"""

from typing import Any

from ray_ft.training.backends.base import Update

WINDOW = 32  # norms that the running median is taken over
FEWEST = 8  # norms before which nothing is called too large: the first steps of a run differ from the rest


class Guard:
    """The rule of `train.max_grad_norm_ratio`, and the last norms that it compares with; `ratio` None turns it off.

    `scaled` says that losses are scaled before the backward pass, as in fp16.
    """

    def __init__(self, ratio: float | None, *, device: Any, scaled: bool) -> None:
        import torch

        self.ratio, self._scaled = ratio, scaled
        self.norms = torch.full((WINDOW,), float("nan"), dtype=torch.float64, device=device)

    def judge(self, norm: Any, loss: Any) -> Update:
        """Of scalars on the device: the gradient's norm, without the loss scale, and the global batch's loss."""
        import torch

        excused = ~torch.isfinite(norm) & torch.isfinite(loss) & self._scaled
        return Update(norm, self._skips(norm, loss), excused.float())

    def _skips(self, norm: Any, loss: Any) -> Any:
        """1 where the update is to be left out, else 0, in fp32 on the device; takes note of a norm that is not."""
        import torch

        healthy = torch.isfinite(norm) & torch.isfinite(loss)
        if self.ratio is None:
            return (~healthy).float()
        # Places without a norm yet are nan, which sorts last. torch.nanmedian would ask the host for its index.
        count = (~torch.isnan(self.norms)).sum()
        median = self.norms.sort().values.gather(0, ((count - 1) // 2).clamp(min=0).reshape(1))[0]
        healthy &= ~((count >= FEWEST) & (norm > self.ratio * median))
        shifted = torch.cat([self.norms[1:], norm.double().reshape(1)])
        self.norms = torch.where(healthy, shifted, self.norms)
        return (~healthy).float()
