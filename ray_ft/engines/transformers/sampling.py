"""Chooses the next token of one row: greedy, or by temperature and nucleus with the row's own seed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Sampler:
    """Draws tokens for one request; its random numbers depend on its seed alone, not on neighbours or the device."""

    def __init__(self, *, temperature: float, top_p: float, seed: int) -> None:
        import torch

        self.temperature = temperature
        self.top_p = top_p
        self._random = torch.Generator().manual_seed(seed)

    def next_token(self, logits: "torch.Tensor") -> int:
        """The next token id, given float logits of shape [vocabulary]."""
        import torch

        if self.temperature == 0:
            return int(logits.argmax())
        # float32 first: a small temperature would overflow float16
        logits = logits.float()
        probabilities, ids = ((logits - logits.max()) / self.temperature).softmax(-1).sort(descending=True, stable=True)
        cumulative = probabilities.cumsum(-1)
        # nucleus (arXiv 1904.09751): the fewest tokens whose probability reaches top_p; the likeliest always stays
        inside = max(int((cumulative - probabilities < self.top_p).sum()), 1)
        total = float(cumulative[inside - 1])
        point = float(torch.rand((), generator=self._random)) * total
        chosen = int((cumulative[:inside] <= point).sum())
        return int(ids[min(chosen, inside - 1)])
