"""Adapted linear layers with as few passes over their activations as there can be.

PEFT computes `x W^T + s (x A^T) B^T` for every layer by itself, as separate terms of which it keeps each. Here the
layers that read one input, such as q, k and v, form a group: the input meets their stacked A's once, the adapter's term
is what the frozen product adds itself to, and only `x` and `x A^T` are kept. The arithmetic, the parameters and their
names are PEFT's.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from ray_ft.kernels import adapter_gradients
from ray_ft.kernels.compiler import can_build_kernels

GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Linear layers of one parent module that read the same input."""
NF4_TENSORS = 4


def fuse_lora(model: Any) -> int:
    """Let the adapted layers of a PeftModel compute in groups; returns how many layers now do.

    Layers with dropout, a LoRA variant such as DoRA, or 8-bit weights keep PEFT's own forward, and so do
    4-bit ones where no kernel can be built.
    """
    from peft.tuners.lora import LoraLayer

    fused = 0
    for parent in model.modules():
        children = {name: child for name, child in parent.named_children() if isinstance(child, LoraLayer)}
        children = {name: child for name, child in children.items() if _can_fuse(child)}
        for names in GROUPS:
            members = [children[name] for name in names if name in children]
            if len(members) == len(names) and _alike(members):
                _share(members)
                fused += len(members)
                children = {name: child for name, child in children.items() if name not in names}
        for child in children.values():
            _share([child])
            fused += 1
    if fused:
        _register()
    return fused


@dataclass
class Group:
    """Adapted layers that read one input; `outputs` holds those that are computed and not yet fetched."""

    members: tuple[Any, ...]
    frozen: list[Any]
    """A weight [outputs, inputs], or bitsandbytes' four tensors, for each member."""
    inputs: int
    scale: float
    outputs: Any = None

    def project(self, x: Any) -> Any:
        """[..., inputs] to a [..., outputs] of each member."""
        import torch

        a = [member.lora_A["default"].weight for member in self.members]
        b = [member.lora_B["default"].weight for member in self.members]
        flat = x.reshape(-1, self.inputs)
        # The product's backward makes all gradients itself, so `inner` hands none on.
        inner = torch.ops.ray_ft.lora_inner(flat.detach(), [part.detach() for part in a])
        outputs = torch.ops.ray_ft.lora_linear(flat, inner, self.frozen, a, b, self.scale)
        return [y.view(*x.shape[:-1], y.shape[-1]) for y in outputs]


class FusedForward:
    """Mixed into an adapted layer's class: the first of a group computes for all, the others fetch."""

    fused_group: Group
    fused_index: int
    fused_bias: Any

    def forward(self, x: Any, *_: Any, **__: Any) -> Any:
        """[..., inputs] to [..., outputs]."""
        group = self.fused_group
        if self.fused_index == 0:
            group.outputs = group.project(x)
        y = group.outputs[self.fused_index]
        if self.fused_index == len(group.members) - 1:
            group.outputs = None
        return y if self.fused_bias is None else y + self.fused_bias


@cache
def _fused_class(layer: Any) -> Any:
    """One class for all layers of a kind, so that torch.compile sees their equal layers as equal."""
    return type(f"Fused{layer.__name__}", (FusedForward, layer), {})


def _can_fuse(layer: Any) -> bool:
    import torch

    base = layer.get_base_layer()
    plain = (
        list(layer.lora_A) == ["default"]
        and not layer.lora_variant
        and isinstance(layer.lora_dropout["default"], torch.nn.Identity)
        and not layer.lora_bias["default"]
        and not layer.merged
        and not base.weight.requires_grad
        and layer.lora_A["default"].weight.dtype == layer.lora_B["default"].weight.dtype
    )
    kind = type(base).__name__
    if kind == "Linear4bit":
        state = base.weight.quant_state
        same = state is not None and layer.lora_A["default"].weight.dtype == base.compute_dtype
        return plain and same and state.quant_type == "nf4" and state.nested and state.blocksize == 64 \
            and base.weight.is_cuda and can_build_kernels()  # fmt: skip
    return plain and kind == "Linear" and base.weight.dtype == layer.lora_A["default"].weight.dtype


def _alike(members: list[Any]) -> bool:
    """Whether one operator can serve them: same inputs, rank, scale and kind of weight."""
    first = members[0]
    return all(
        type(m.get_base_layer()) is type(first.get_base_layer())
        and m.in_features == first.in_features
        and m.r["default"] == first.r["default"]
        and m.scaling["default"] == first.scaling["default"]
        for m in members
    )


def _share(members: list[Any]) -> None:
    """Switch the members to the operator."""
    first = members[0]
    bases = [member.get_base_layer() for member in members]
    group = Group(
        members=tuple(members),
        frozen=[tensor for base in bases for tensor in _frozen(base)],
        inputs=first.in_features,
        scale=float(first.scaling["default"]),
    )
    for index, (member, base) in enumerate(zip(members, bases, strict=True)):
        kind: Any = type(member)
        member.__class__ = _fused_class(kind)
        member.fused_group, member.fused_index, member.fused_bias = group, index, base.bias


def _frozen(base: Any) -> list[Any]:
    """The weight; of a quantised one packed nibbles, 8-bit constants, their fp32 constants, and [code, the mean]."""
    import torch

    if type(base).__name__ != "Linear4bit":
        return [base.weight]
    state = base.weight.quant_state
    code = torch.cat([state.state2.code.float(), state.offset.reshape(1).float()])
    return [base.weight.data.view(torch.uint8).reshape(-1), state.absmax, state.state2.absmax.float(), code]


@cache
def _register() -> Any:
    """Make the operators; whoever holds the result keeps them."""
    import torch

    library: Any = torch.library.Library("ray_ft", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("lora_inner(Tensor x, Tensor[] a) -> Tensor")
    library.impl("lora_inner", _inner, "CompositeExplicitAutograd")
    library.define(
        "lora_linear(Tensor x, Tensor inner, Tensor[] frozen, Tensor[] a, Tensor[] b, float scale) -> Tensor[]"
    )
    library.impl("lora_linear", _project, "CompositeExplicitAutograd")
    library.define(
        "lora_linear_backward(Tensor[] grads, Tensor x, Tensor inner, Tensor[] frozen, Tensor[] a, Tensor[] b,"
        " float scale, bool wants_x) -> Tensor[]"
    )
    library.impl("lora_linear_backward", _backward, "CompositeExplicitAutograd")
    torch.library.register_fake(
        "ray_ft::lora_inner", lambda x, a: x.new_empty(x.shape[0], sum(part.shape[0] for part in a)), lib=library
    )
    torch.library.register_fake(
        "ray_ft::lora_linear",
        lambda x, inner, frozen, a, b, scale: [x.new_empty(x.shape[0], part.shape[0]) for part in b],
        lib=library,
    )
    torch.library.register_fake("ray_ft::lora_linear_backward", _fake_backward, lib=library)
    torch.library.register_autograd("ray_ft::lora_linear", _differentiate, setup_context=_keep, lib=library)
    return library


def _inner(x: Any, a: list[Any]) -> Any:
    """[tokens, inputs] to the adapters' middles [tokens, members * r]."""
    return x @ _rows(a).t()


def _project(x: Any, inner: Any, frozen: list[Any], a: list[Any], b: list[Any], scale: float) -> list[Any]:
    """[tokens, inputs] to a [tokens, outputs] for each member."""
    import torch

    rank = b[0].shape[1]
    outputs = []
    for i, part in enumerate(b):
        y = torch.mm(inner[:, i * rank : (i + 1) * rank], part.t())
        outputs.append(y.addmm_(x, _weight(frozen, i, b, x).t(), beta=scale))
    return outputs


def _backward(
    grads: list[Any], x: Any, inner: Any, frozen: list[Any], a: list[Any], b: list[Any], scale: float, wants_x: bool
) -> list[Any]:
    """Gradients of x (empty unless wanted), of the stacked A's [members * r, inputs], and of each B."""
    grad_inner, grads_b = _grad_inner(grads, inner, b, scale)
    grad_a = grad_inner.t() @ x
    grad_x = _grad_x(grads, grad_inner, frozen, a, b) if wants_x else x.new_empty(0)
    return [grad_x, grad_a, *grads_b]


def _grad_inner(grads: list[Any], inner: Any, b: list[Any], scale: float) -> tuple[Any, list[Any]]:
    """Gradients of the adapters' middles [tokens, members * r], and of each B."""
    import torch

    rank = b[0].shape[1]
    grad_inner = torch.empty_like(inner)
    grads_b = []
    for i, (grad, part) in enumerate(zip(grads, b, strict=True)):
        mine = slice(i * rank, (i + 1) * rank)
        if adapter_gradients.has_kernel(grad, rank):
            into = grad_inner[:, mine]
            grads_b.append(adapter_gradients.gradients(grad, part, inner[:, mine], into, scale=scale))
        else:
            torch.mm(grad, part, out=grad_inner[:, mine]).mul_(scale)
            grads_b.append(torch.addmm(part, grad.t(), inner[:, mine], beta=0, alpha=scale))
    return grad_inner, grads_b


def _grad_x(grads: list[Any], grad_inner: Any, frozen: list[Any], a: list[Any], b: list[Any]) -> Any:
    """Gradient of the layers' input [tokens, inputs]."""
    import torch

    grad_x = torch.mm(grad_inner, _rows(a))
    for i, grad in enumerate(grads):
        grad_x.addmm_(grad, _weight(frozen, i, b, grad))
    return grad_x


def _fake_backward(
    grads: Any, x: Any, inner: Any, frozen: Any, a: Any, b: Any, scale: float, wants_x: bool
) -> list[Any]:
    grad_x = x.new_empty(x.shape) if wants_x else x.new_empty(0)
    return [grad_x, x.new_empty(inner.shape[1], x.shape[1]), *(part.new_empty(part.shape) for part in b)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, inner, frozen, a, b, ctx.scale = inputs
    ctx.counts = len(frozen), len(a)
    ctx.wants_x = x.requires_grad
    ctx.save_for_backward(x, inner, *frozen, *a, *b)


def _differentiate(ctx: Any, grads: list[Any]) -> tuple[Any, ...]:
    import torch

    x, inner, *others = ctx.saved_tensors
    num_frozen, members = ctx.counts
    frozen, a, b = others[:num_frozen], others[num_frozen : num_frozen + members], others[num_frozen + members :]
    # An output that nothing depends on has no gradient.
    whole = [
        x.new_zeros(x.shape[0], part.shape[0]) if grad is None else grad.contiguous()
        for grad, part in zip(grads, b, strict=True)
    ]
    grad_x, grad_a, *grads_b = torch.ops.ray_ft.lora_linear_backward(
        whole, x, inner, frozen, a, b, ctx.scale, ctx.wants_x
    )
    return (
        grad_x if ctx.wants_x else None,
        None,
        [None] * num_frozen,
        list(grad_a.split([part.shape[0] for part in a])),
        grads_b,
        None,
    )


def _rows(parts: list[Any]) -> Any:
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _weight(frozen: list[Any], index: int, b: list[Any], like: Any) -> Any:
    """A member's frozen weight [outputs, inputs], brought back from four bits where it is packed."""
    if len(frozen) == len(b):
        return frozen[index]
    from ray_ft.kernels.nf4 import dequantise

    packed = frozen[NF4_TENSORS * index : NF4_TENSORS * (index + 1)]
    return dequantise(packed, outputs=b[index].shape[0], dtype=like.dtype)
