"""Layer counts, widths and parameter counts from a model's config.json; loads no weights and imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelShape:
    """The numbers that memory and time depend on, for decoder-only models of the Llama family."""

    name: str
    model_type: str
    num_parameters: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tied: bool  # input embedding and output head share their weights
    max_position_embeddings: int
    attention_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False


BUILTIN_CONFIGS: dict[str, dict[str, object]] = {
    "tiny": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 4096,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    },
}
"""config.json of the models that `builtin:NAME` makes on the spot; base_model.py builds them."""
