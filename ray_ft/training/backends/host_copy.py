"""Copies what a backend holds into host memory, from where a thread can write it while training goes on."""

from typing import Any


def on_host(state: Any) -> Any:
    """A copy of nested containers with every tensor in host memory; other values are taken as they are."""
    import torch

    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: on_host(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(on_host(value) for value in state)
    return state
