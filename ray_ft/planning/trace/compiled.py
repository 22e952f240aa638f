"""A decoder layer as torch.compile runs it, as far as memory goes: which results become tensors, and for how long.

Tracing and partitioning are PyTorch's own; what Inductor would do with both graphs is followed by a rule: elementwise
operators run inside the kernels of those who read them, unless a matrix product, attention, an output or a later kernel
needs their result as a tensor.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from ray_ft.kernels.recompute import _POLICIES, Keep
from ray_ft.planning.trace.ledger import Ledger

Function = Callable[..., Any]


class CompiledLayer:
    """Stands in for a layer's forward; layers of one kind share what was traced for the first of them.

    `keep` is what recompute.py's policy keeps; None leaves it to PyTorch, as for a norm that is compiled alone.
    """

    def __init__(
        self, layer: Any, *, keep: Keep | None, mlp_width: int, traced: dict[Any, Function], ledger: Ledger
    ) -> None:
        self._layer, self._run, self._traced, self._ledger = layer, layer.forward, traced, ledger
        self._keep, self._mlp_width = keep, mlp_width
        self._skeleton: Any = partial(_skeleton, ledger.working)
        self._names = [name for name, _ in (*layer.named_parameters(), *layer.named_buffers())]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree_flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        tensors = [leaves[i] for i in places]
        weights = [*self._layer.parameters(), *self._layer.buffers()]
        kinds = tuple((tuple(t.shape), t.dtype, t.requires_grad) for t in (*weights, *tensors))
        key = (type(self._layer), kinds)
        if key not in self._traced:
            others = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            self._traced[key] = self._compile(others, places, spec)
            self._ledger.paused = True  # what is traced with stays alive
            self._traced[key](weights, [t.detach().clone().requires_grad_(t.requires_grad) for t in tensors])
            self._ledger.paused = False
        return self._traced[key](weights, tensors)

    def _compile(self, others: list[Any], places: list[int], spec: Any) -> Function:
        from torch._functorch.aot_autograd import aot_function

        def flat(weights: list[Any], tensors: list[Any]) -> Any:
            leaves = list(others)
            for place, tensor in zip(places, tensors, strict=True):
                leaves[place] = tensor
            args, kwargs = tree_unflatten(leaves, spec)
            named = dict(zip(self._names, weights, strict=True))
            return torch.func.functional_call(_Runs(self._layer, self._run), named, args, kwargs)

        made: Function = aot_function(flat, self._skeleton, self._skeleton, partition_fn=self._partition)
        return made

    def _partition(self, joint: Any, inputs: Any, *, num_fwd_outputs: int, **more: Any) -> Any:
        """Mark what the policy of recompute.py keeps, as torch.compile does for a checkpointed layer, and split."""
        from torch._functorch.partitioners import min_cut_rematerialization_partition

        outputs = joint.graph.find_nodes(op="output")[0].args[0][:num_fwd_outputs]
        policy: Any = _POLICIES.get(self._keep or "")
        for node in _ancestors(outputs) if policy else ():
            if node.op == "call_function":
                source = node.args[0] if _is_getitem(node) else node
                values = [arg.meta.get("val") if isinstance(arg, torch.fx.Node) else arg for arg in source.args]
                readable = not values or isinstance(values[0], torch.Tensor)
                gated = "aten.mul" in str(source.target) and not readable
                target = "" if gated else source.target
                node.meta["recompute"] = policy(self._mlp_width, None, target, *values)
                node.meta["ac_graph_id"] = 1
        return min_cut_rematerialization_partition(joint, inputs, num_fwd_outputs=num_fwd_outputs, **more)


class _Runs(torch.nn.Module):
    """Under functional_call, a layer's forward before it was replaced."""

    def __init__(self, layer: Any, run: Function) -> None:
        super().__init__()
        self.__dict__["run"] = run
        self._parameters, self._buffers, self._modules = layer._parameters, layer._buffers, layer._modules

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["run"](*args, **kwargs)


def _ancestors(nodes: Iterable[Any]) -> list[Any]:
    found: dict[Any, None] = {}
    waiting = [node for node in nodes if isinstance(node, torch.fx.Node)]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found[node] = None
            waiting += node.all_input_nodes
    return list(found)


# --- what a graph allocates -------------------------------------------------------------------------------------------

_FUSED_TAGS = (torch.Tag.pointwise, torch.Tag.reduction) if hasattr(torch.Tag, "reduction") else (torch.Tag.pointwise,)
_FUSED = {
    "_to_copy", "cat", "clone", "embedding", "expand", "mean", "sum", "slice_backward", "select_backward", "var_mean",
    "amax", "full", "zeros", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "arange", "repeat",
    "constant_pad_nd", "silu_backward", "gelu_backward", "native_dropout", "native_layer_norm", "_softmax",
    "_softmax_backward_data", "rsqrt", "pow", "rms_norm", "_fused_rms_norm", "scalar_tensor", "index",
}  # fmt: skip
"""Besides what PyTorch tags as elementwise: Inductor writes kernels of its own for these and fuses them."""


def _skeleton(working: dict[str, Function], graph: Any, _: Any) -> Function:
    """A function of the graph's inputs (a list, which it empties) that makes the graph's tensors and computes none."""
    nodes = list(graph.graph.nodes)
    plan = _Plan(nodes)
    extra = {node: working[str(node.target)](*_values(node)) for node in nodes if str(node.target) in working}

    def run(args: list[Any]) -> Any:
        held = dict(zip(plan.inputs, args, strict=True))
        args.clear()
        for node in nodes:
            if node.op != "call_function":
                continue
            dying = plan.last_reads.get(node, ())
            # Inductor writes an elementwise result over an input of its size that nobody reads any more.
            early = [d for d in dying if node in plan.made and _fused(node) and _bytes(d) == _bytes(node)][:1]
            for dead in early:
                held.pop(dead, None)
            for made in plan.made_at.get(node, ()):
                held[made] = _empty(made)
            if extra.get(node):
                torch.empty(extra[node], dtype=torch.uint8)  # counted, and gone
            for dead in dying:
                held.pop(dead, None)
        return [_result(node, plan.owner(node), held) for node in plan.outputs]

    run._boxed_call = True  # type: ignore[attr-defined]
    return run


class _Plan:
    """Which nodes of a graph own a tensor, when it is made and who reads it last."""

    def __init__(self, nodes: list[Any]) -> None:
        self.inputs = [node for node in nodes if node.op in ("placeholder", "get_attr")]
        (output,) = (node for node in nodes if node.op == "output")
        self.outputs = list(output.args[0])
        self._order = {node: i for i, node in enumerate(nodes)}
        kernels = [self._order[n] for n in nodes if n.op == "call_function" and not _fused(n) and not _is_view(n)]
        needed = {self.owner(node) for node in self.outputs if isinstance(node, torch.fx.Node)}
        for node in nodes:
            if node.op == "call_function" and not _fused(node) and not _is_view(node):
                needed |= {self.owner(argument) for argument in node.all_input_nodes}
        self.made = {n for n in nodes if n.op == "call_function" and self._is_made(n, needed, kernels)}
        self.made_at: dict[Any, list[Any]] = {}
        for node in self.made:
            source = node.args[0] if _is_getitem(node) else node
            self.made_at.setdefault(source, []).append(node)
        kept = {self.owner(node) for node in self.outputs if isinstance(node, torch.fx.Node)}
        last: dict[Any, Any] = {}
        for node in nodes:
            if node.op == "call_function" and not _is_view(node) and not _is_getitem(node):
                at = node if node in self.made_at else None
                for read in self._reads(node) if at is not None else ():
                    last[read] = node
        for node in self.made:  # what nobody reads goes at once
            last.setdefault(node, node.args[0] if _is_getitem(node) else node)
        self.last_reads: dict[Any, list[Any]] = {}
        for read, node in last.items():
            if read not in kept:
                self.last_reads.setdefault(node, []).append(read)

    def owner(self, node: Any) -> Any:
        """The node whose storage this one looks at."""
        while isinstance(node, torch.fx.Node) and _is_view(node):
            node = node.args[0]
        return node

    def _is_made(self, node: Any, needed: set[Any], kernels: list[int]) -> bool:
        if _is_view(node) or not isinstance(node.meta.get("val"), torch.Tensor):
            return False
        if not _fused(node) or node in needed:
            return True
        if _is_getitem(node):
            return False
        # Read by kernels on both sides of a matrix product: computed once, and kept.
        start = self._order[node]
        last = max((self._order[user] for user in self._users(node)), default=start)
        return node.meta["val"].numel() > 2**16 and any(start < k < last for k in kernels) and self._has_own_sum(node)

    def _has_own_sum(self, node: Any) -> bool:
        return "add" in str(node.target) and len(self._users(node)) > 1

    def _users(self, node: Any) -> list[Any]:
        found = []
        for user in node.users:
            found += self._users(user) if _is_view(user) else [user]
        return found

    def _reads(self, node: Any) -> set[Any]:
        """Tensors that a kernel for this node reads, through the elementwise operators that it takes in."""
        found: set[Any] = set()
        waiting = [self.owner(argument) for argument in node.all_input_nodes]
        seen: set[Any] = set()
        while waiting:
            read = waiting.pop()
            if read in seen:
                continue
            seen.add(read)
            if read.op in ("placeholder", "get_attr") or read in self.made:
                found.add(read)
            else:
                waiting += [self.owner(argument) for argument in read.all_input_nodes]
        return found


def _is_view(node: Any) -> bool:
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    if node.target._schema.name in ("aten::_unsafe_view", "aten::detach", "aten::alias"):
        return True
    alias = [argument.alias_info for argument in node.target._schema.arguments[:1]]
    view = bool(alias) and alias[0] is not None and not alias[0].is_write
    if view and node.target._schema.name in ("aten::view", "aten::reshape"):
        return True
    return view


def _is_getitem(node: Any) -> bool:
    return bool(node.op == "call_function" and "getitem" in getattr(node.target, "__name__", ""))


def _fused(node: Any) -> bool:
    if node.op != "call_function":
        return False
    if _is_getitem(node):
        return _fused(node.args[0])
    if not isinstance(node.target, torch._ops.OpOverload):
        return True  # arithmetic on sizes
    name = node.target._schema.name
    return name.startswith("aten::") and (
        any(tag in node.target.tags for tag in _FUSED_TAGS) or name.removeprefix("aten::") in _FUSED
    )


def _bytes(node: Any) -> int:
    value = node.meta.get("val")
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0


def _values(node: Any) -> Any:
    """A node's arguments, with tensors without data in place of nodes."""
    return torch.fx.map_arg(node.args, lambda argument: argument.meta["val"])


def _empty(node: Any) -> Any:
    value = node.meta["val"]
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)


def _result(node: Any, owner: Any, held: dict[Any, Any]) -> Any:
    if not isinstance(node, torch.fx.Node):
        return node
    if owner is node:
        return held[owner]
    value = node.meta["val"]
    return torch.as_strided(held[owner].detach(), value.shape, value.stride(), value.storage_offset())
