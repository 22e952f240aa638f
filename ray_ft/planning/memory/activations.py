"""Bytes per token that the backward pass keeps, for decoder-only models of the Llama family in plain transformers.

`h` is the hidden size, `f` the MLP's, `q` and `k` the widths of all query and all key heads, `n` the number of heads,
`V` the vocabulary and `c` the bytes of the compute dtype. Each formula counts the tensors that autograd saves, which
tests/unit/planning compares with what PyTorch really saves.
"""

from functools import lru_cache
from typing import NamedTuple

from ray_ft.models.shape import ModelShape
from ray_ft.planning.memory.compiled_layers import (
    attention_workspace,
    evaluation_bytes,
    kept_tensors,
    product_bytes,
    working_bytes,
)
from ray_ft.planning.memory.stack import Stack
from ray_ft.strategies import Strategy

__all__ = ["Stack", "product_bytes"]

OFFLOADED_BYTES = 8 * 2**20  # smaller tensors stay on the GPU (recompute.py)


class Activations(NamedTuple):
    """Bytes of one micro-batch on the GPU, at four moments of a step."""

    kept: int  # when the forward pass ends, by all layers
    start: int  # at most while the last layers run backwards: by all layers
    end: int  # at most while the first layer does
    evaluation: int  # at most while a layer runs without gradients
    on_host: int = 0  # offloaded, in pinned host memory
    held: int = 0  # offloaded and free again, but reserved until the copy has gone; reclaimed where memory is short


def activations(
    shape: ModelShape,
    strategy: Strategy,
    stack: Stack,
    *,
    tokens: int,
    seq_len: int,
    checkpointing: bool,
    fresh: tuple[int, int] = (0, 0),
) -> Activations:
    """What the decoder layers hold for `tokens` tokens in rows of `seq_len`.

    `fresh` are the bytes of a layer's new weight gradients while its MLP, and while its attention runs backwards.
    """
    layers = shape.num_layers
    tensors, one, mlp, attention, forward = _per_token(shape, strategy, stack, seq_len, checkpointing)
    working = max(mlp * tokens + fresh[0], attention * tokens + fresh[1])
    evaluation = forward * tokens
    if not checkpointing:
        return Activations(one * layers * tokens, one * layers * tokens + working, one * tokens + working, evaluation)
    offloads = stack.offload_activations and stack.keeps_attention
    moved = [size * tokens for size in tensors if offloads and size * tokens >= OFFLOADED_BYTES]
    stay, gone = one * tokens - sum(moved), sum(moved)
    # The last layer's stay; while a layer runs backwards, the one before it is fetched.
    kept = layers * stay + gone if offloads else layers * one * tokens
    ahead = gone if layers > 1 else 0
    return Activations(
        kept=kept,
        start=kept + ahead + working,
        end=stay + gone + (stay + gone if ahead else 0) + working,
        evaluation=evaluation,
        on_host=(layers - 1) * sum(1 << (size - 1).bit_length() for size in moved),  # pinned in powers of two
        held=(layers - 1) * gone,
    )


@lru_cache(maxsize=4096)
def _per_token(
    shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int, checkpointing: bool
) -> tuple[list[int], int, int, int, int]:
    """What does not depend on the number of tokens, and a search asks for many: the tensors that a checkpointed layer
    keeps, all that a layer keeps, what its MLP and its attention need beside that, and what it needs in evaluation."""
    c, h = stack.compute_bytes, shape.hidden_size
    tensors = kept_tensors(shape, strategy, stack) if stack.keeps_attention else [c * h]
    one = sum(tensors) if checkpointing else layer_bytes(shape, strategy, stack, seq_len)
    mlp, attention = _working(shape, strategy, stack, kept=one, seq_len=seq_len)
    forward = evaluation_bytes(shape, stack) if stack.kernels or stack.liger else max(mlp, attention)
    return tensors, one, mlp, attention, forward + c * h


def _working(shape: ModelShape, strategy: Strategy, stack: Stack, *, kept: int, seq_len: int) -> tuple[int, int]:
    """Beside what is kept, per token, while one layer runs backwards: its MLP, and its attention."""
    if stack.kernels:
        return working_bytes(shape, strategy, stack, kept=kept, seq_len=seq_len)
    whole = layer_bytes(shape, strategy, stack, seq_len)
    most = max(0, recompute_bytes(shape, strategy, stack, seq_len) - min(kept, whole))
    return most, most


def layer_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """Saved by one decoder layer: in bf16 12h + 4k + 6f + 4n + 8 for a frozen base, 20h + 4k + 8f + 4n + 8 in full.

    The core, for the gradient of the layer's input: each norm's fp32 input and its scale, q, k, v and the output of
    attention with its fp32 log-sum-exp, and the MLP's gate, its activation and up.
    """
    if stack.kernels:
        return product_bytes(shape, strategy, stack)
    if stack.liger:
        return _liger_bytes(shape, strategy, stack, seq_len)
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


def _liger_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """With Liger's kernels: c * (4h + 2q + 2k + 3f + ranks) + 4n + 8 where every linear layer trains.

    A norm keeps its input as it is and computes the rest again; the gate keeps gate and up; linear layers that train
    keep their inputs.
    """
    c, h, f, q, k = stack.compute_bytes, shape.hidden_size, shape.intermediate_size, shape.query_size, shape.key_size
    norms = 2 * (c * h + 4)
    if shape.qk_norm:
        norms += c * (q + k) + 4 * (shape.num_heads + shape.num_kv_heads)
    attention = c * (2 * q + 2 * k) + 4 * shape.num_heads
    if stack.masked_attention:
        attention += c * seq_len + c * 2 * (q - k)
    if strategy.is_adapter:
        inputs = strategy.saved_bytes_per_token(shape, compute_bytes=c)
    else:
        inputs = c * (2 * h + f + (q if shape.fused else 0))
    return norms + attention + c * 2 * f + inputs


def recompute_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """Peak of one layer's forward and backward under gradient checkpointing: all that it saves, and working gradients.

    The MLP's backward holds three tensors of width f and one of width h, less down's saved input, which it frees; with
    a narrow MLP the norm's backward, 11 tensors of width h in place of the MLP's, is larger.
    """
    c, h, f, q, k = stack.compute_bytes, shape.hidden_size, shape.intermediate_size, shape.query_size, shape.key_size
    if stack.liger:  # down's input has two gradients with an adapter; gate's and up's are written over them
        mlp = c * (h + (2 if strategy.is_adapter else 1) * f)
        attention = c * (2 * h + 2 * q + 2 * k - 3 * f) + attention_workspace(shape, stack, seq_len=seq_len)
        return layer_bytes(shape, strategy, stack, seq_len) + max(mlp, attention)
    working = c * max(3 * f + h, 11 * h - 3 * f)
    if "down_proj" in strategy.trained_linears(shape):
        working -= c * f
    return layer_bytes(shape, strategy, stack, seq_len) + working


def tail_bytes(shape: ModelShape, strategy: Strategy, stack: Stack, seq_len: int) -> int:
    """Outside the layers: the final norm, the head's input when it trains, ids and labels, rotary tables, the mask."""
    c, h = stack.compute_bytes, shape.hidden_size
    if stack.fused_loss:  # the norm's input and output, and the gradient that the loss makes in its forward pass
        return 3 * c * h + 4 + 3 * 8 + 2 * c * shape.head_dim + (seq_len if stack.masked_attention else 0)
    frozen = (4 * h + 4) + (8 + 8) + 2 * c * shape.head_dim
    mask = seq_len if stack.masked_attention else 0  # one byte per pair of positions of a row, shared by the layers
    return frozen + mask + (2 * c * h + 8 if strategy.trains_head(shape) else 0)


def loss_bytes(shape: ModelShape, stack: Stack, tokens: int) -> int:
    """Peak of the loss for `tokens` tokens: log-probabilities, their gradient and the logits' gradient, in fp32 each.

    The largest single item of a model with a large vocabulary: 12 * 128,256 * 4,096 = 5.9 GiB for a Llama-3 row. Liger
    overwrites a part's logits with their gradient.
    """
    if stack.fused_loss:
        return stack.compute_bytes * shape.vocab_size * tokens_at_once(shape, tokens)
    return 12 * shape.vocab_size * tokens


def evaluation_loss_bytes(shape: ModelShape, stack: Stack, tokens: int) -> int:
    """Peak of the loss without gradients: logits in the compute dtype and in fp32, and log-probabilities in fp32."""
    if stack.fused_loss:
        return loss_bytes(shape, stack, tokens)
    return (stack.compute_bytes + 8) * shape.vocab_size * tokens


def tokens_at_once(shape: ModelShape, tokens: int) -> int:
    """Liger's fused loss cuts the tokens into as many parts as hidden states fit into logits, to a power of two."""
    parts = -(-shape.vocab_size // shape.hidden_size)
    return min(tokens, 1 << (-(-tokens // parts) - 1).bit_length())
