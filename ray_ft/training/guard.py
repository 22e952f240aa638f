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
        enough = (~torch.isnan(self.norms)).sum() >= FEWEST
        # With fewer norms than the window the rest are nan, which nanmedian passes over.
        healthy &= ~(enough & (norm > self.ratio * torch.nanmedian(self.norms)))
        shifted = torch.cat([self.norms[1:], norm.double().reshape(1)])
        self.norms = torch.where(healthy, shifted, self.norms)
        return (~healthy).float()
