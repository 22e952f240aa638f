"""Bytes per token that the backward pass keeps, for decoder-only models of the Llama family in plain transformers.

`h` is the hidden size, `f` the MLP's, `q` and `k` the widths of all query and all key heads, `n` the number of heads,
`V` the vocabulary and `c` the bytes of the compute dtype. Each formula counts the tensors that autograd saves, which
tests/unit/planning compares with what PyTorch really saves.
"""

from dataclasses import dataclass

from ray_ft.model_shape import ModelShape
from ray_ft.strategies import Strategy


@dataclass(frozen=True)
class Stack:
    """What the training loop does, as far as memory and time depend on it; the defaults are those of a GPU run."""

    compute_bytes: int = 2  # bf16 or fp16 weights and activations; 4 on CPU
    fused_loss: bool = False  # True: Liger's, which never holds more logits at once than about the hidden states take
    masked_attention: bool = True  # SDPA gets the mask that keeps packed examples apart; False: a varlen kernel
    optimizer_bytes: int = 12  # per trained parameter: fp32 master, momentum, variance
    step_bytes: int = 4  # per parameter, while the optimizer steps: its gradient in fp32; AdamW is fused
    padding_factor: float = 1.02  # reserved / allocated memory with rows of one length
    kernels: bool = False  # True: compiled layers that keep their products alone (training/kernels)
    offload_activations: bool = False  # with kernels and checkpointing: what is kept waits in host memory


LAYERS_IN_TRANSIT = 3  # whose offloaded activations are on the GPU at once: on the way out, or fetched ahead


def layer_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """Saved by one decoder layer: in bf16 12h + 4k + 6f + 4n + 8 for a frozen base, 20h + 4k + 8f + 4n + 8 in full.

    The core, for the gradient of the layer's input: each norm's fp32 input and its scale, q, k, v and the output of
    attention with its fp32 log-sum-exp, and the MLP's gate, its activation and up.
    """
    if stack.kernels:
        return product_bytes(shape, strategy, stack)
    c, h, f, q, k = stack.compute_bytes, shape.hidden_size, shape.intermediate_size, shape.query_size, shape.key_size
    norms = 2 * (4 * h + 4)
    if shape.qk_norm:
        norms += 4 * (q + k) + 4 * (shape.num_heads + shape.num_kv_heads)
    attention = c * (2 * q + 2 * k) + 4 * shape.num_heads
    if stack.masked_attention:
        attention += c * seq_len  # the mask, turned into the compute dtype anew by every layer's kernel
        attention += c * 2 * (q - k)  # with a mask, transformers repeats keys and values for every query head
    elif shape.fused:
        attention += c * (q + k)  # v is a view that keeps the whole query-key-value output alive
    mlp = c * 3 * f
    return norms + attention + mlp + strategy.saved_bytes_per_token(shape, compute_bytes=c)


def product_bytes(shape: ModelShape, strategy: Strategy, stack: Stack) -> int:
    """Saved by one compiled layer: c * (2h + 2q + 2k + 3f + ranks) + 4n.

    Its input; q, k and v; attention's output with its fp32 log-sum-exp, and what the output projection makes of it;
    gate, up and their gated product; and each adapter's r-wide middle. Norms, rotations and the like are made again.
    """
    c, h, f, q, k = stack.compute_bytes, shape.hidden_size, shape.intermediate_size, shape.query_size, shape.key_size
    ranks = getattr(strategy, "r", 0) * len(strategy.trained_linears(shape)) if strategy.is_adapter else 0
    return c * (2 * h + 2 * q + 2 * k + 3 * f + ranks) + 4 * shape.num_heads


def checkpoint_bytes(shape: ModelShape, stack: Stack) -> int:
    """Kept by one layer under gradient checkpointing: its input, and with kernels attention's output too."""
    c = stack.compute_bytes
    if stack.kernels:
        return c * (shape.hidden_size + shape.query_size) + 4 * shape.num_heads
    return c * shape.hidden_size


def recompute_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """Peak of one layer's forward and backward under gradient checkpointing: all that it saves, and working gradients.

    The MLP's backward holds three tensors of width f and one of width h, less down's saved input, which it frees; with
    a narrow MLP the norm's backward, 11 tensors of width h in place of the MLP's, is larger.
    """
    c, h, f = stack.compute_bytes, shape.hidden_size, shape.intermediate_size
    working = c * max(3 * f + h, 11 * h - 3 * f)
    if "down_proj" in strategy.trained_linears(shape):
        working -= c * f
    return layer_bytes(shape, strategy, stack, seq_len) + working


def tail_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """Outside the layers: the final norm, the head's input when it trains, ids and labels, rotary tables, the mask."""
    c, h = stack.compute_bytes, shape.hidden_size
    frozen = (4 * h + 4) + (8 + 8) + 2 * c * shape.head_dim
    mask = seq_len if stack.masked_attention else 0  # one byte per pair of positions of a row, shared by the layers
    return frozen + mask + (2 * c * h + 8 if strategy.trains_head(shape) else 0)


def loss_bytes(shape: ModelShape, stack: Stack, tokens: int) -> int:
    """Peak of the loss for `tokens` tokens: log-probabilities, their gradient and the logits' gradient, in fp32 each.

    The largest single item of a model with a large vocabulary: 12 * 128,256 * 4,096 = 5.9 GiB for a Llama-3 row.
    """
    return 12 * shape.vocab_size * (_tokens_at_once(shape, tokens) if stack.fused_loss else tokens)


def evaluation_loss_bytes(shape: ModelShape, stack: Stack, tokens: int) -> int:
    """Peak of the loss without gradients: logits in the compute dtype and in fp32, and log-probabilities in fp32."""
    kept = _tokens_at_once(shape, tokens) if stack.fused_loss else tokens
    return (stack.compute_bytes + 8) * shape.vocab_size * kept


def _tokens_at_once(shape: ModelShape, tokens: int) -> int:
    """Liger's fused loss cuts the tokens into as many parts as hidden states fit into logits, to a power of two."""
    parts = -(-shape.vocab_size // shape.hidden_size)
    return min(tokens, 1 << (-(-tokens // parts) - 1).bit_length())
