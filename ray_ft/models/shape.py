"""Layer counts, widths and parameter counts from a model's config.json; loads no weights and imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ray_ft.errors import ModelError
from ray_ft.models.config_json import Source, load_model_config
from ray_ft.models.quantised import refuse_foreign_quantisation

MODEL_TYPES = ("gemma", "llama", "mistral", "phi3", "qwen2", "qwen3")
"""Architectures whose formulas are exact here; each is dense, with RMSNorm, rotary positions and a gated MLP."""
DEFAULT_HEAD_DIM = {"gemma": 256, "qwen3": 128}
"""Where a config without head_dim does not mean hidden_size / num_attention_heads."""


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
    attention_bias: bool = False  # query, key and value; the output projection too, but not in qwen2
    mlp_bias: bool = False
    qk_norm: bool = False
    source: Source = "folder"  # where config.json came from
    exact: bool = True  # False: an architecture without formulas, planned by a trace
    num_added_tokens: int = 0  # of vocab_size: those that this run adds, and that adapters train rows for

    @property
    def query_size(self) -> int:
        """Width of all query heads together; equals hidden_size in Llama, not in Gemma or some Qwen3."""
        return self.num_heads * self.head_dim

    @property
    def key_size(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.num_kv_heads * self.head_dim

    @property
    def fused(self) -> bool:
        """Phi-3 computes query, key and value by one linear layer, and gate and up by another."""
        return self.model_type == "phi3"

    @property
    def wide_norms(self) -> bool:
        """Gemma multiplies the normalised values by the norm's weight in fp32, the others in the compute dtype."""
        return self.model_type == "gemma"

    @cached_property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one decoder layer, by their module names."""
        h, f, q, k = self.hidden_size, self.intermediate_size, self.query_size, self.key_size
        if self.fused:
            return {"qkv_proj": (h, q + 2 * k), "o_proj": (q, h), "gate_up_proj": (h, 2 * f), "down_proj": (f, h)}
        attention = {"q_proj": (h, q), "k_proj": (h, k), "v_proj": (h, k), "o_proj": (q, h)}
        return attention | {"gate_proj": (h, f), "up_proj": (h, f), "down_proj": (f, h)}

    @cached_property
    def layer_parameters(self) -> int:
        """Weights of the linear layers of all decoder layers, without biases: what quantisation and LoRA apply to."""
        return self.num_layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    def with_added_tokens(self, count: int) -> "ModelShape":
        """The shape with rows for `count` more tokens: an upper bound, since a base with spare rows needs none."""
        matrices = 1 if self.tied else 2
        return replace(
            self,
            vocab_size=self.vocab_size + count,
            num_parameters=self.num_parameters + matrices * count * self.hidden_size,
            num_added_tokens=count,
        )

    @property
    def head_parameters(self) -> int:
        """Weights of the output head, tied or not."""
        return self.vocab_size * self.hidden_size


def load_model_shape(name: str, *, revision: str | None = None) -> ModelShape:
    """The shape of `builtin:NAME`, a local folder with config.json, or a hub id; ModelError when there is none."""
    config, source = load_model_config(name, revision=revision)
    return replace(shape_from_config(config, name), source=source)


def shape_from_config(config: Mapping[str, object], name: str) -> ModelShape:
    """The shape that a config.json describes.

    Raises ModelError for a missing key, an architecture without formulas, and weights that another method than
    bitsandbytes' has quantised.
    """
    refuse_foreign_quantisation(config, name)
    model_type = str(_get(config, "model_type", name))
    if model_type not in MODEL_TYPES:
        raise ModelError(_unsupported(config, model_type, name))
    hidden, heads = _count(config, "hidden_size", name), _count(config, "num_attention_heads", name)
    head_dim = _count(config, "head_dim", name, default=DEFAULT_HEAD_DIM.get(model_type, hidden // heads))
    shape = ModelShape(
        name=name,
        model_type=model_type,
        num_parameters=0,
        num_layers=_count(config, "num_hidden_layers", name),
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=_count(config, "num_key_value_heads", name, default=heads),
        head_dim=head_dim,
        intermediate_size=_count(config, "intermediate_size", name),
        vocab_size=_count(config, "vocab_size", name),
        tied=bool(config.get("tie_word_embeddings", model_type == "gemma")),
        max_position_embeddings=_count(config, "max_position_embeddings", name, default=4096),
        attention_bias=model_type == "qwen2" or bool(config.get("attention_bias", False)),
        mlp_bias=bool(config.get("mlp_bias", False)),
        qk_norm=model_type == "qwen3",
    )
    return replace(shape, num_parameters=count_parameters(shape))


def count_parameters(shape: ModelShape) -> int:
    """All weights: embedding, linear layers with their biases, norms, and the output head unless it is tied."""
    h, q, k, f = shape.hidden_size, shape.query_size, shape.key_size, shape.intermediate_size
    layer = 2 * h  # the norms before attention and before the MLP
    if shape.attention_bias:
        layer += q + 2 * k + (0 if shape.model_type == "qwen2" else h)
    if shape.mlp_bias:
        layer += 2 * f + h
    if shape.qk_norm:
        layer += 2 * shape.head_dim
    embeddings = shape.vocab_size * h * (1 if shape.tied else 2)
    return embeddings + shape.layer_parameters + shape.num_layers * layer + h  # the last h is the final norm


def _count(config: Mapping[str, object], key: str, name: str, *, default: int | None = None) -> int:
    """A positive whole number of the config; `default` stands in for a key that is absent or null."""
    value = default if config.get(key) is None and default is not None else _get(config, key, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"model.name: config.json of {name}: {key} is {value!r}; it must be a whole number above 0")
    return value


def _get(config: Mapping[str, object], key: str, name: str) -> object:
    if config.get(key) is None:
        raise ModelError(f"model.name: config.json of {name} has no {key!r}; the estimator needs it")
    return config[key]


def _unsupported(config: Mapping[str, object], model_type: str, name: str) -> str:
    experts = any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts"))
    kind = "a mixture of experts" if experts or "moe" in model_type or model_type == "mixtral" else "not supported"
    return (
        f"model.name: {name} is {kind} ({model_type!r}); this works for {', '.join(MODEL_TYPES)}, "
        "and `ray-ft plan --check` estimates others by a trace"
    )
