"""Activation checkpointing per decoder layer: keep a layer's input and its attention, recompute the rest when needed.

Attention is what costs most to compute again for the memory that its output takes. With `offload`, what is kept waits
in pinned host memory: copied out while the next layers compute, and back while the layer after it runs backwards.
"""

from functools import cache, partial
from typing import Any, Literal

from ray_ft.kernels.attention import drawn_keys

OFFLOADED_BYTES = 8 * 2**20
"""Smaller tensors, such as rotary angles, which all layers share, stay where they are."""


FETCHED_AHEAD = 2
"""Tensors that come back before they are asked for."""


Keep = Literal["products", "attention", "inputs"]
"""What a layer keeps of its forward pass beside its input: the results of all matrix products and of attention; of
attention alone; or nothing."""


def recompute_layers(model: Any, layers: Any, *, keep: Keep, offload: bool) -> None:
    """Checkpoint each decoder layer of a model; `offload` needs a GPU."""
    import torch

    # The layers of a group hand results to each other (lora.py), which a recomputed forward pass does again.
    torch._dynamo.config.skip_fwd_side_effects_in_bwd_under_checkpoint = True
    store = HostStore(model) if offload else None
    # Attention and routers draw by a number of the configuration, without a module that would show it.
    draws = bool(drawn_keys(model.config))
    for layer in layers:
        kind: Any = type(layer)
        layer.__class__ = _recomputed_class(kind)
        layer.kept, layer.mlp_width = keep, getattr(model.config, "intermediate_size", None)
        # The last layer's backward follows at once.
        layer.host_store = None if layer is layers[-1] else store
        layer.is_first = layer is layers[0]
        layer.draws = draws or any(getattr(module, "p", 0.0) for module in layer.modules())  # drawn alike once more


class RecomputedLayer:
    """Mixed into a decoder layer's class."""

    host_store: "HostStore | None"
    is_first: bool
    kept: Keep
    mlp_width: int | None
    draws: bool
    training: bool

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import torch

        if self.host_store is None or not torch.is_grad_enabled():
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        if self.is_first:
            self.host_store.forget()
        with torch.autograd.graph.saved_tensors_hooks(self.host_store.put, self.host_store.get):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the layer's own."""
        import torch
        from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

        run = super().forward  # type: ignore[misc]
        if not torch.is_grad_enabled():
            return run(*args, **kwargs)
        contexts = partial(create_selective_checkpoint_contexts, partial(_POLICIES[self.kept], self.mlp_width))
        return checkpoint(run, *args, use_reentrant=False, preserve_rng_state=self.draws, context_fn=contexts, **kwargs)


@cache
def _recomputed_class(layer: Any) -> Any:
    """One class for all layers, so that torch.compile compiles them once."""
    return type(f"Recomputed{layer.__name__}", (RecomputedLayer, layer), {})


def _policy(kept: tuple[str, ...], mlp_width: int | None, ctx: Any, operator: Any, *args: Any, **kwargs: Any) -> Any:
    from torch.utils.checkpoint import CheckpointPolicy

    name = str(operator)
    # The gated product is the largest result of an elementwise operator, and needed at once by the layer after it.
    gated = name == "aten.mul.Tensor" and "aten.mul.Tensor" in kept and args[0].shape[-1] == mlp_width
    saved = gated or (name in kept and name != "aten.mul.Tensor" and not _draws(operator, args, kwargs))
    return CheckpointPolicy.MUST_SAVE if saved else CheckpointPolicy.PREFER_RECOMPUTE


def _draws(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether attention drops some of its weights: left out of the recomputation, it would not draw, and whatever
    draws after it would draw something else than in the forward pass."""
    names = [argument.name for argument in operator._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    return bool(given.get("dropout_p", 0.0))


_ATTENTION = (
    "ray_ft.packed_attention.default",
    "ray_ft.lora_inner.default",
    "aten._scaled_dot_product_flash_attention.default",
    "aten._scaled_dot_product_efficient_attention.default",
    "aten._scaled_dot_product_cudnn_attention.default",
    "aten._scaled_dot_product_flash_attention_for_cpu.default",
)
_PRODUCTS = (
    *_ATTENTION,
    "ray_ft.lora_linear.default",
    "ray_ft.gated_lora.default",
    "ray_ft.gated_linear.default",
    "ray_ft.rotate_heads.default",  # attention needs them turned, and turning back needs none
    "aten.mm.default",
    "aten.addmm.default",
    "aten.mul.Tensor",
)
_POLICIES = {
    "products": partial(_policy, _PRODUCTS),
    "attention": partial(_policy, _ATTENTION),
    "inputs": partial(_policy, ()),
}


class HostStore:
    """Saved tensors of a forward pass in pinned host memory, fetched in reverse order ahead of their use."""

    def __init__(self, model: Any) -> None:
        import torch

        self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._free: dict[tuple[Any, ...], list[Any]] = {}
        self._waiting: list[_Stored] = []
        self._ahead = 0
        self._model = model
        self._weights: set[int] = set()

    def forget(self) -> None:
        """Drop what a forward pass without a backward pass has left."""
        self._waiting, self._ahead = [], 0
        if not self._weights:  # not earlier: engines move weights
            weights = (*self._model.parameters(), *self._model.buffers())
            self._weights = {weight.untyped_storage().data_ptr() for weight in weights}

    def put(self, tensor: Any) -> Any:
        """Start copying a large activation out; anything else is kept as it is."""
        import torch

        small = tensor.numel() * tensor.element_size() < OFFLOADED_BYTES
        if small or not tensor.is_contiguous() or tensor.untyped_storage().data_ptr() in self._weights:
            return tensor
        free = self._free.setdefault((tensor.shape, tensor.dtype), [])
        host = free.pop() if free else torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            host.copy_(tensor, non_blocking=True)
        tensor.record_stream(self._stream)
        self._waiting.append(_Stored(host))
        return self._waiting[-1]

    def get(self, stored: Any) -> Any:
        """The tensor, back on the GPU."""
        import torch

        if not isinstance(stored, _Stored):
            return stored
        if stored.device is None:
            if stored in self._waiting:
                self._waiting.remove(stored)
            self._fetch(stored)
        self._ahead -= 1
        while self._waiting and self._ahead < FETCHED_AHEAD:
            self._fetch(self._waiting.pop())
        torch.cuda.current_stream().wait_event(stored.arrived)
        tensor, stored.device = stored.device, None
        self._free[(tensor.shape, tensor.dtype)].append(stored.host)
        return tensor

    def _fetch(self, stored: "_Stored") -> None:
        import torch

        stored.device = torch.empty_like(stored.host, device="cuda")
        self._stream.wait_stream(torch.cuda.current_stream())  # whoever had that memory before must be done with it
        with torch.cuda.stream(self._stream):
            stored.device.copy_(stored.host, non_blocking=True)
            stored.arrived = self._stream.record_event()
        stored.device.record_stream(self._stream)
        self._ahead += 1


class _Stored:
    """One tensor in host memory, and on the GPU once it has been fetched."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.device: Any = None
        self.arrived: Any = None
