"""Decides on the device whether an update is left out: not finite, or a gradient far larger than those before it."""

from typing import Any

WINDOW = 32  # norms that the running median is taken over
FEWEST = 8  # norms before which nothing is called too large: the first steps of a run differ from the rest


class Guard:
    """The rule of `train.max_grad_norm_ratio`, and the last norms that it compares with; `ratio` None turns it off."""

    def __init__(self, ratio: float | None, *, device: Any) -> None:
        import torch

        self.ratio = ratio
        self.norms = torch.full((WINDOW,), float("nan"), dtype=torch.float64, device=device)

    def skips(self, norm: Any, loss: Any) -> Any:
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
