"""Model shapes by name, and the arithmetic that a training step cannot do without; imports neither torch nor ray_ft."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A Llama architecture; weights are random, since neither speed nor memory depends on their values."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied with: the decoder's linear layers and the output head."""
        queries, keys = self.hidden * self.hidden, self.hidden * self.hidden * self.kv_heads // self.heads
        layer = 2 * queries + 2 * keys + 3 * self.hidden * self.intermediate
        return self.layers * layer + self.hidden * self.vocabulary

    @property
    def parameters(self) -> int:
        """All weights: the matrices, the embedding, and two norms per layer and one at the end."""
        return self.matrix_parameters + self.hidden * self.vocabulary + (2 * self.layers + 1) * self.hidden

    def config(self) -> dict[str, Any]:
        """Keyword arguments of transformers' LlamaConfig."""
        return {
            "num_hidden_layers": self.layers, "hidden_size": self.hidden, "intermediate_size": self.intermediate,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads, "vocab_size": self.vocabulary,
            "max_position_embeddings": 4096, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
            "pad_token_id": 3,
        }  # fmt: skip


SHAPES = {
    "llama2-7b": Shape(32, 4096, 11008, 32, 32, 32000),
    "llama2-70b": Shape(80, 8192, 28672, 64, 8, 32000),
    "small": Shape(8, 512, 1408, 8, 8, 4096),
    "tiny": Shape(2, 128, 256, 2, 2, 512),
}


def needed_flops(shape: Shape, *, full: bool, sequence: int, embedding: bool = True) -> float:
    """FLOPs per token that training cannot do without; recomputation and dequantisation are not in it.

    Adapters: 4 per frozen parameter, 2 forwards and 2 for the gradient of the input, plus causal attention. Full: 6 per
    parameter, attention left out (arXiv 2001.08361, 2.1). Causal attention multiplies queries with keys and scores with
    values, 2 * hidden FLOPs each per token and earlier token, of which there are sequence / 2 on average; backwards
    twice that (arXiv 2205.14135). `embedding` False leaves the table out, which is looked up and not multiplied.
    """
    parameters = shape.parameters if embedding else shape.matrix_parameters
    if full:
        return 6.0 * parameters
    attention = 3 * shape.layers * 2 * 2 * shape.hidden * sequence / 2
    return 4.0 * parameters + attention
