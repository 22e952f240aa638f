"""Logits of an adapter as the transformers engine computes them."""

from typing import Any


def stacked_logits(base: Any, base_path: str, ids: Any, *adapters: str | None) -> Any:
    """Logits [texts, tokens, vocabulary] of one text under each adapter folder, or the base for None, in one pass."""
    import torch

    from ray_ft.engines.transformers.adapters import read_adapter
    from ray_ft.engines.transformers.stack import AdapterStack

    stack = AdapterStack(base)
    for folder in {a for a in adapters if a is not None}:
        stack.install(read_adapter(folder, folder, base=base, model_path=base_path))
    stack.choose([folder for folder in adapters for _ in ids])
    # side by side, as in a pass of the engine; attention keeps the texts apart by their positions
    positions = torch.arange(len(ids)).repeat(len(adapters))[None]
    with torch.no_grad():
        logits = base(torch.tensor([list(ids) * len(adapters)]), position_ids=positions, use_cache=False).logits[0]
    return logits.view(len(adapters), len(ids), -1).float()
