"""One training step of a model of few layers, traced with tensors that have no data; run by worker.py."""

import copy
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ray_ft.errors import ModelError
from ray_ft.kernels import attention, recompute
from ray_ft.kernels.rotary import fuse_rotary
from ray_ft.kernels.swiglu import fuse_swiglu
from ray_ft.planning.trace.adapters import add_adapters
from ray_ft.planning.trace.compiled import CompiledLayer
from ray_ft.planning.trace.ledger import Ledger
from ray_ft.planning.trace.liger import FusedLoss, use_liger
from ray_ft.planning.trace.offload import OffloadedTensors, offloading
from ray_ft.planning.trace.request import TraceRequest

EXAMPLES = 4  # of a packed row; their number changes a few bytes


def whole_model(request: TraceRequest) -> tuple[list[Hashable], int]:
    """The kind of every decoder layer, equal for layers that hold and compute the same, and the model's parameters."""
    with torch.device("meta"):
        model = _model(config_of(request.config, None), request)
    return [_kind(layer) for layer in _layers(model)], sum(p.numel() for p in model.parameters())


def _kind(layer: Any) -> Hashable:
    """What a layer's memory depends on: its modules, the shapes of its weights, and how far its attention sees."""
    windows = [getattr(module, "sliding_window", None) for module in layer.modules()]
    types = [type(module).__name__ for module in layer.modules()]
    return repr((types, windows, [(name, tuple(p.shape)) for name, p in layer.named_parameters()]))


def trace_step(request: TraceRequest, order: list[int], *, mode: Any, traced: dict[Any, Any]) -> dict[str, int]:
    """Bytes of "weights", of "trained" parameters, and of each phase beside weights and optimizer.

    `order` names the layers of the whole model that are traced, one after the other. Steps that share a FakeTensorMode
    can share what was `traced` for compiled layers.
    """
    with mode, Ledger(_working(request)) as ledger:
        model = _build(request, order)
        weights = ledger.storages([*model.parameters(), *model.buffers()])
        found: dict[str, int] = {
            "weights": ledger.live(),
            "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
        layers = _layers(model)
        _prepare_layers(model, layers, request, ledger, traced)
        if request.gradients_leave:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(_let_go)
        _forward_and_backward(model, request, ledger)
        ledger.mark("")
        peaks: dict[str, int] = ledger.peaks(without=weights)
        return found | peaks


def _let_go(parameter: Any) -> None:
    parameter.grad = None


def _model(config: Any, request: TraceRequest) -> Any:
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, request.dtype)
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").train()


def _build(request: TraceRequest, order: list[int]) -> Any:
    model = _model(config_of(request.config, max(order) + 1), request)
    _keep_layers(model, order)
    if request.packed and getattr(model, "_supports_flash_attn", False) and attention._is_plain(model.config):
        attention._register()
        model.set_attn_implementation(attention.ATTENTION)
    if request.adapters is not None:
        add_adapters(model, request.adapters)
    if request.compiled:
        fuse_swiglu(model)
        fuse_rotary(model)
    elif request.liger:
        use_liger(model)
    return model


def _keep_layers(model: Any, order: list[int]) -> None:
    """Leave only these layers, in this order."""
    layers, config = _layers(model), model.config.get_text_config()
    if order == list(range(len(layers))):
        return
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.ModuleList) and len(child) and child[0] is layers[0]:
                setattr(parent, name, torch.nn.ModuleList([layers[i] for i in order]))
    config.num_hidden_layers = len(order)
    if kinds := getattr(config, "layer_types", None):
        config.layer_types = [kinds[i] for i in order]


def _layers(model: Any) -> list[Any]:
    """The decoder's layers; ModelError where they cannot be told."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    found = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not found:
        raise ModelError(f"{type(model).__name__} has no decoder layers that transformers could checkpoint")
    return found


def _prepare_layers(
    model: Any, layers: list[Any], request: TraceRequest, ledger: Ledger, traced: dict[Any, Any]
) -> None:
    """Recomputation or compilation as the loop has it, and a mark behind the first and the last layer."""
    keep: recompute.Keep = "attention" if request.checkpointing else "products"
    if request.checkpointing and not request.whole:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    elif request.checkpointing and not request.compiled:
        recompute.recompute_layers(model, layers, keep=keep, offload=False)
    norm = getattr(model.base_model, "norm", None)
    for layer in [*layers, *([] if norm is None else [norm])] if request.compiled else []:
        width = model.config.get_text_config().intermediate_size
        kept: recompute.Keep | None = None if layer is norm else keep
        layer.forward = CompiledLayer(layer, keep=kept, mlp_width=width, traced=traced, ledger=ledger)
    if request.offloaded:
        weights = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
        store = OffloadedTensors(weights)
        for layer in layers[:-1]:  # the last layer's backward follows at once
            layer.forward = offloading(layer.forward, store)
    for layer in layers[1:-1]:
        _mark_behind(layer, ledger, "")  # between both ends, so no phase of its own
    _mark_behind(layers[0], ledger, "backward end")
    _mark_behind(layers[-1], ledger, "backward start", forward="loss")


def _mark_behind(layer: Any, ledger: Ledger, phase: str, forward: str | None = None) -> None:
    def hook(_: Any, __: Any, out: Any) -> Any:
        first, *others = out if isinstance(out, tuple) else (out,)
        first = _Mark.apply(first, ledger, forward, phase)  # type: ignore[no-untyped-call]
        return (first, *others) if isinstance(out, tuple) else first

    layer.register_forward_hook(hook)


class _Mark(torch.autograd.Function):
    """Passes its input on and notes where a phase begins, going forward and going back."""

    @staticmethod
    def forward(ctx: Any, x: Any, ledger: Ledger, forward: str | None, backward: str) -> Any:
        ctx.ledger, ctx.phase = ledger, backward
        if forward is not None:
            ledger.mark(forward)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        ctx.ledger.mark(ctx.phase)
        return grad, None, None, None


def _forward_and_backward(model: Any, request: TraceRequest, ledger: Ledger) -> None:
    rows, length = request.rows, request.max_seq_len
    ledger.mark("forward")
    part = -(-length // EXAMPLES)
    inputs = {
        "input_ids": torch.zeros(rows, length, dtype=torch.int64),
        "position_ids": (torch.arange(length) % part).expand(rows, length).contiguous(),
        "use_cache": False,
    }
    labels = torch.zeros(rows, length, dtype=torch.int64)
    if request.packed:
        borders = torch.zeros(rows * EXAMPLES + 1, dtype=torch.int32)
        inputs |= {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders, "max_length_q": length, "max_length_k": length}
    with _inputs_want_gradients(model, request):
        if request.fused_loss:
            hidden = model.base_model(**inputs)[0]
            apply: Any = FusedLoss.apply
            loss = apply(hidden.reshape(rows * length, -1), model.get_output_embeddings().weight)
            del hidden
        else:
            loss = model(**inputs, labels=labels, num_items_in_batch=rows * length).loss
    loss.backward()


@contextmanager
def _inputs_want_gradients(model: Any, request: TraceRequest) -> Iterator[None]:
    """So that one traced graph serves the first layer too; it costs no more than the gradient of that layer's input."""
    if not request.compiled:
        yield
        return
    handle = model.get_input_embeddings().register_forward_hook(
        lambda _, __, out: out if out.requires_grad else out.requires_grad_()
    )
    try:
        yield
    finally:
        handle.remove()


def _working(request: TraceRequest) -> dict[str, Any]:
    """Bytes that kernels of the loop allocate for themselves on a GPU, by the operators' names."""
    if request.dtype == "float32":
        return {}
    width = 2
    packed = request.adapters is not None and request.adapters.bits != 16

    def weight(outputs: int, inputs: int) -> int:
        return width * outputs * inputs if packed else 0  # brought back to 16 bits

    def group(x: Any, inner: Any, frozen: Any, a: Any, b: Any, *_: Any) -> int:
        return max(weight(part.shape[0], x.shape[1]) for part in b)

    def gated(gate: Any, up: Any, product: Any, inner: Any, frozen: Any, a: Any, b: Any, *_: Any) -> int:
        return weight(b.shape[0], a.shape[1])

    def gated_backward(grad: Any, gate: Any, up: Any, inner: Any, frozen: Any, a: Any, b: Any, *_: Any) -> int:
        """The product's gradient, which becomes the product."""
        return width * int(gate.numel()) + weight(b.shape[0], a.shape[1])

    def attention_backward(grad: Any, query: Any, key: Any, *_: Any) -> int:
        """Of FlashAttention: the queries' gradient in fp32 with a sum per row, and under grouped queries the keys'
        and values' gradients for every head."""
        tokens, heads, _ = query.shape
        expanded = 2 * width * query.numel() if key.shape[1] != heads else 0
        return int(4 * query.numel() + 4 * tokens * heads + expanded)

    return {
        "ray_ft.lora_linear.default": group,
        "ray_ft.lora_linear_backward.default": lambda grads, *rest: group(*rest),
        "ray_ft.gated_lora.default": gated,
        "ray_ft.gated_lora_backward.default": gated_backward,
        "ray_ft.gated_linear_backward.default": lambda grad, gate, *_: width * gate.numel(),
        "ray_ft.packed_attention_backward.default": attention_backward,
    }


def config_of(values: dict[str, Any], num_layers: int | None) -> Any:
    """The transformers config of a config.json, with its first layers alone where `num_layers` says how many.

    Raises ModelError for a model type that transformers does not know or that has its code on the hub.
    """
    from transformers import AutoConfig

    values = copy.deepcopy(values)  # what is inside changes, too
    model_type = values.pop("model_type", None)
    for inner in (values, values.get("text_config") or {}):
        before = inner.get("num_hidden_layers")
        if before and num_layers is not None:
            inner["num_hidden_layers"] = num_layers
            for key, value in inner.items():  # one entry per layer, such as which layers see a window alone
                if isinstance(value, list) and len(value) == before:
                    inner[key] = [value[i % before] for i in range(num_layers)]
    try:
        config = AutoConfig.for_model(model_type, **values)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"transformers cannot make a {model_type!r}: {str(error).splitlines()[0]}") from None
    if num_layers is not None and not config.to_dict().get("num_hidden_layers"):
        config.get_text_config().num_hidden_layers = num_layers
    return config
