"""NEFTune (arXiv 2310.05914): uniform noise on the embeddings, in training alone.

An embedding of an example of L tokens gets alpha / sqrt(L * d) times noise from [-1, 1), d being its width. L is each
packed example's own length, not the row's, so that packing leaves the noise as strong as the paper has it. The noise
comes from torch's own generator, which the loop seeds anew for every step.
"""

from typing import Any


def add_noise_to_embeddings(model: Any, *, alpha: float) -> None:
    """Hook the noise into a model's input embeddings; evaluation mode switches it off. 0 adds nothing."""
    if alpha > 0:
        hooks = _Noise(alpha)
        model.register_forward_pre_hook(hooks.remember_positions, with_kwargs=True)
        model.get_input_embeddings().register_forward_hook(hooks.add)


class _Noise:
    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self._positions: Any = None

    def remember_positions(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Position ids restart with each example; without them a row is one example."""
        self._positions = kwargs.get("position_ids")

    def add(self, module: Any, args: Any, output: Any) -> Any:
        import torch

        if not module.training:
            return output
        lengths = example_lengths(self._positions) if self._positions is not None else output.shape[1]
        noise = torch.empty_like(output).uniform_(-1, 1)
        scale = self.alpha / (torch.as_tensor(lengths, device=output.device) * output.shape[-1]).float().sqrt()
        return output + noise * scale.to(output.dtype).reshape(*scale.shape, 1)


def example_lengths(positions: Any) -> Any:
    """For every token of [rows, tokens] position ids, the number of tokens of its example; stays on the device."""
    import torch

    example = (positions == 0).cumsum(dim=1)
    counts = torch.zeros(positions.shape[0], positions.shape[1] + 1, dtype=torch.long, device=positions.device)
    counts.scatter_add_(1, example, torch.ones_like(example))
    return counts.gather(1, example)
