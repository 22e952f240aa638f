"""Bytes per token of a decoder layer compiled with ray_ft/kernels: what it keeps, and what its backward pass needs.

Symbols as in activations.py. Elementwise results are computed inside the kernels that read them, so that only products,
attention and what is widest become tensors; tests compare with a trace of the very layers and with measured peaks.
"""

from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.stack import Stack
from ray_ft.strategies import Strategy

GATED = ("llama", "mistral", "qwen2", "qwen3")
"""Architectures whose MLP and rotations ray_ft/kernels computes by operators of its own."""


def product_bytes(shape: ModelShape, strategy: Strategy, stack: Stack) -> int:
    """Kept by one layer: c * (2h + 2q + 2k + 2f + ranks) + 4n, and another f where the gated product is kept too.

    Its input; q, k and v; attention's output with its fp32 log-sum-exp, and what the output projection makes of it;
    gate and up; and each adapter's r-wide middle. Norms, rotations and the like are made again.
    """
    c, h, f, q, k = stack.compute_bytes, shape.hidden_size, shape.intermediate_size, shape.query_size, shape.key_size
    names = strategy.trained_linears(shape)
    ranks = rank_of(strategy) * len(names)
    kept = 2 * h + 2 * q + 2 * k + (2 if stack.gated else 3) * f + ranks
    if stack.gated and shape.qk_norm:
        kept += q + k  # before their norms, for those; turned, for attention
    if strategy.is_adapter and not stack.fused_adapters:
        kept += sum(shape.linears[name][1] for name in names if name not in _dropped_terms(shape, stack))
    if getattr(strategy, "bits", 4) == 8:  # bitsandbytes keeps the inputs of its int8 products
        kept += 2 * h + f
    return c * kept + 4 * shape.num_heads


def _dropped_terms(shape: ModelShape, stack: Stack) -> tuple[str, ...]:
    """Linear layers of whose adapters nothing but the middle is kept, where an adapter's term is a product of its own.

    The others' is kept beside the frozen product, as neither is needed without the other. Nothing reads the MLP's
    output again, and queries and keys are kept when they are turned, if nothing needs them before.
    """
    return ("down_proj", "q_proj", "k_proj") if stack.gated and not shape.qk_norm else ("down_proj",)


def kept_tensors(shape: ModelShape, strategy: Strategy, stack: Stack) -> list[int]:
    """Bytes per token of each tensor that a checkpointed layer keeps: its input, attention's output and log-sum-exp.

    Adapters' middles come with attention: they cost little and a product each to make again.
    """
    c = stack.compute_bytes
    tensors = [c * shape.hidden_size, c * shape.query_size, 4 * shape.num_heads]
    if strategy.is_adapter and stack.kernels and stack.fused_adapters:
        names, rank = strategy.trained_linears(shape), rank_of(strategy)
        groups = [sum(name in group for name in names) for group in _GROUPS]
        tensors += [c * rank * members for members in groups if members]
    return tensors


def working_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, *, kept: int, seq_len: int) -> tuple[int, int]:
    """Most that one layer's backward pass holds beside `kept`, per token: in the MLP, and in attention after it.

    `kept` is what is there of the layer when its backward pass begins. In the MLP: the gradient of its output, three
    tensors of width f (for the product, gate and up), and whatever of gate, up and the norm's output is not kept. In
    attention, when the MLP's are gone: the gradients of attention's output, queries, keys and values, and what the
    kernel needs. Where adapters' terms are products of their own, gate's and up's go as their gradients come; with
    dropout, four tensors of width h that are made again are there beside the rest.
    """
    c, h, f, q, k = stack.compute_bytes, shape.hidden_size, shape.intermediate_size, shape.query_size, shape.key_size
    terms = strategy.trained_linears(shape) if strategy.is_adapter and not stack.fused_adapters else ()
    dropped = bool(terms and getattr(strategy, "lora_dropout", 0.0))
    if kept < product_bytes(shape, strategy, stack):
        mlp = c * ((7 if dropped else 3) * h + (5 if stack.gated else 4) * f)
        attention = c * (2 * h + (q + 2 * k))
    else:
        gone = sum(name in ("gate_proj", "up_proj") for name in terms) if stack.gated else 0
        mlp = c * (h + ((3 if stack.gated else 1) - gone) * f)
        attention = c * (2 * h - ((2 if stack.gated else 3) + gone) * f)
    return mlp, attention + c * (2 * q + 2 * k) + attention_workspace(shape, stack, seq_len=seq_len)


def attention_workspace(shape: ModelShape, stack: Stack, *, seq_len: int) -> int:
    """Of attention's backward kernel, per token: the queries' gradient in fp32 with a sum per head, and under grouped
    queries keys' and values' gradients for every head; with a mask, that in the compute dtype and repeated keys."""
    c, q, k = stack.compute_bytes, shape.query_size, shape.key_size
    needed = 4 * q + 4 * shape.num_heads + (2 * c * q if q != k else 0)
    return needed + (c * seq_len + 2 * c * (q - k) if stack.masked_attention else 0)


def evaluation_bytes(shape: ModelShape, stack: Stack) -> int:
    """Most that a layer's forward pass holds without gradients: its input, the norm's output, and the MLP's widths."""
    return stack.compute_bytes * (3 * shape.hidden_size + 3 * shape.intermediate_size)


def rank_of(strategy: Strategy) -> int:
    """Rank of a strategy's adapters; 0 without."""
    return int(getattr(strategy, "r", 0)) if strategy.is_adapter else 0


_GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",),
           ("qkv_proj",), ("gate_up_proj",))  # fmt: skip
