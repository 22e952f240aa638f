"""Linear layers with adapters as the training loop computes them, without PEFT and bitsandbytes, which load slowly.

What is kept of a forward pass is what ray_ft/kernels keeps where layers share their input, by the same code, and what
PEFT and bitsandbytes keep elsewhere.
"""

from typing import Any

import torch

from ray_ft.kernels import lora
from ray_ft.planning.trace.request import Adapters

SCALE = 2.0  # of the adapters' output; any number but 1 has the same memory


def add_adapters(model: Any, adapters: Adapters) -> None:
    """Freeze the model and put an adapter beside every target layer, in groups where the loop does."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    head = model.get_output_embeddings()
    fuse = adapters.dropout == 0 and (adapters.bits == 16 or adapters.double_quant)
    if fuse:
        lora._register()
    for parent in list(model.modules()):
        made: dict[str, AdaptedLinear] = {}
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear) and child is not head:
                base = Packed(child, adapters) if adapters.bits != 16 else child
                wanted = "all-linear" in adapters.target_modules or name in adapters.target_modules
                new = AdaptedLinear(base, child, adapters) if wanted else base
                setattr(parent, name, new)
                if isinstance(new, AdaptedLinear):
                    made[name] = new
        for names in lora.GROUPS if fuse else ():
            if all(name in made for name in names):
                _share([made.pop(name) for name in names])
        for child in made.values() if fuse else ():
            _share([child])


class Packed(torch.nn.Module):
    """A frozen linear layer in 4 or 8 bits: its weight comes back to 16 bits for each product, there and back."""

    def __init__(self, linear: Any, adapters: Adapters) -> None:
        super().__init__()
        count = linear.weight.numel()
        blocks = -(-count // 64)
        if adapters.bits == 8:
            sizes = [("packed", count, torch.int8), ("scales", linear.out_features, torch.float32)]
        elif adapters.double_quant:
            sizes = [("packed", count // 2, torch.uint8), ("scales", blocks, torch.uint8)]
            sizes += [("scales2", -(-blocks // 256), torch.float32), ("code", 257, torch.float32)]
        else:
            sizes = [("packed", count // 2, torch.uint8), ("scales", blocks, torch.float32)]
        for name, size, dtype in sizes:
            self.register_buffer(name, torch.empty(size, dtype=dtype))
        self.shape, self.bias = tuple(linear.weight.shape), linear.bias

    def forward(self, x: Any) -> Any:
        y = _PackedProduct.apply(x, self.packed, self.shape)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias


class _PackedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, packed: Any, shape: tuple[int, int]) -> Any:
        ctx.save_for_backward(packed)
        ctx.shape = shape
        return x @ x.new_empty(shape).t()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad @ grad.new_empty(ctx.shape), None, None


class AdaptedLinear(torch.nn.Module):
    """W x + B A x, as PEFT computes it; its attributes have the names that ray_ft/kernels reads of PEFT's."""

    def __init__(self, base: Any, linear: Any, adapters: Adapters) -> None:
        super().__init__()
        like = {"bias": False, "dtype": linear.weight.dtype}
        self.base = base
        self.in_features, self.dropout, self.base_bias = linear.in_features, adapters.dropout, linear.bias
        self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(linear.in_features, adapters.r, **like)})
        self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(adapters.r, linear.out_features, **like)})

    def frozen(self) -> list[Any]:
        return [self.base.weight] if isinstance(self.base, torch.nn.Linear) else list(self.base.buffers())

    def forward(self, x: Any) -> Any:
        dropped = torch.native_dropout(x, self.dropout, True)[0] if self.dropout else x
        return self.base(x) + self.lora_B["default"](self.lora_A["default"](dropped)) * SCALE


class _Group(lora.Group):
    """Asks its members for their weights at each use, since torch.func may have put others in their place."""

    @property
    def frozen(self) -> list[Any]:
        return [tensor for member in self.members for tensor in member.frozen()]

    @frozen.setter
    def frozen(self, _: list[Any]) -> None: ...


def _share(members: list[AdaptedLinear]) -> None:
    """As lora._share."""
    group = _Group(members=tuple(members), frozen=[], inputs=members[0].in_features, scale=SCALE)
    for index, member in enumerate(members):
        kind: Any = type(member)
        member.__class__ = lora._fused_class(kind)
        fused: Any = member
        fused.fused_group, fused.fused_index, fused.fused_bias = group, index, member.base_bias
