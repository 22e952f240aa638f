"""Activations that wait in host memory, as recompute.HostStore moves them, without streams or a GPU."""

from collections.abc import Callable
from typing import Any

import torch

from ray_ft.kernels.recompute import FETCHED_AHEAD, OFFLOADED_BYTES


class OffloadedTensors:
    """A saved tensor leaves the device at once and comes back a few tensors before it is asked for."""

    def __init__(self, weights: set[int]) -> None:
        self._weights = weights  # ids of their storages' handles
        self._waiting: list[_Away] = []
        self._ahead = 0

    def put(self, tensor: Any) -> Any:
        small = tensor.numel() * tensor.element_size() < OFFLOADED_BYTES
        if small or not tensor.is_contiguous() or tensor.untyped_storage()._cdata in self._weights:
            return tensor
        self._waiting.append(_Away(tensor.shape, tensor.dtype))
        return self._waiting[-1]

    def get(self, stored: Any) -> Any:
        if not isinstance(stored, _Away):
            return stored
        if stored.device is None:
            if stored in self._waiting:
                self._waiting.remove(stored)
            self._fetch(stored)
        self._ahead -= 1
        while self._waiting and self._ahead < FETCHED_AHEAD:
            self._fetch(self._waiting.pop())
        tensor, stored.device = stored.device, None
        return tensor

    def _fetch(self, stored: "_Away") -> None:
        stored.device = torch.empty(stored.shape, dtype=stored.dtype)
        self._ahead += 1


class _Away:
    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.device: Any = None


def offloading(forward: Callable[..., Any], store: OffloadedTensors) -> Callable[..., Any]:
    """A layer's forward whose saved tensors go through the store."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autograd.graph.saved_tensors_hooks(store.put, store.get):
            return forward(*args, **kwargs)

    return run
