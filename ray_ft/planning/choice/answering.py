"""What evaluation and serving need of each GPU once a model is tuned, and what would make them fit.

By formula alone: nothing here was measured.
"""

from dataclasses import dataclass, replace

from ray_ft.artifacts import Answering
from ray_ft.hardware import Hardware
from ray_ft.models.shape import ModelShape
from ray_ft.planning.choice.estimate import gib
from ray_ft.planning.profile import Profile
from ray_ft.strategies import LoRA, QLoRA, Strategy

PASS_TOKENS = {"vllm": 8192, "transformers": 2048}
"""Tokens that go through the model at once: vLLM's default on large GPUs, and a stretch of the transformers engine."""
SCORED_TOKENS = 2048
VLLM_RANKS = (16, 32, 64, 128, 256, 320, 512)
LEFT_FREE = 0.02
BY_TRANSFORMERS = "engine.name=transformers engine.quantization=nf4"


@dataclass(frozen=True)
class AnswerSetup:
    """An engine's settings, as far as memory depends on them."""

    engine: str  # vllm or transformers
    quantization: str = "none"
    num_gpus: int = 1
    memory_fraction: float = 1 - LEFT_FREE
    max_adapters: int = 1
    max_adapter_rank: int | None = None


def answering(
    shape: ModelShape, *, setup: AnswerSetup, strategy: Strategy, hardware: Hardware, profile: Profile, max_seq_len: int
) -> Answering:
    """Memory on each GPU for at least one answer in a context of `max_seq_len`, and what would make it fit."""
    made = _needed(shape, setup, strategy, hardware, profile, max_seq_len)
    if made.fits:
        return made
    others = {
        f"engine.name=vllm engine.tensor_parallel={n}": AnswerSetup(
            "vllm", num_gpus=n, memory_fraction=0.85, max_adapters=16
        )
        for n in (1, 2, 4, 8)
        if n <= hardware.gpus_per_node and shape.num_heads % n == 0 and not refused_by_vllm(strategy, shape)
    }
    others[BY_TRANSFORMERS] = AnswerSetup("transformers", "nf4")
    fitting = [
        words for words, other in others.items() if _needed(shape, other, strategy, hardware, profile, max_seq_len).fits
    ]
    by_vllm = [words for words in fitting if words != BY_TRANSFORMERS][:1]
    return replace(made, advice=(*by_vllm, *(words for words in fitting if words == BY_TRANSFORMERS)))


def refused_by_vllm(strategy: Strategy, shape: ModelShape) -> str:
    """What an adapter will have that vLLM does not answer with; "" for plain ones and whole models."""
    if not isinstance(strategy, LoRA):
        return ""
    if strategy.use_dora:
        return "DoRA"
    return "tokens of its own" if shape.num_added_tokens else ""


def describe(made: Answering, gpu: str) -> str:
    """One line for the plan's reader, or for the error."""
    where = f"one {gpu}" if made.num_gpus == 1 else f"each of {made.num_gpus} x {gpu}"
    parts = ", ".join(
        f"{name} {gib(size)}"
        for name, size in (
            ("weights", made.weights),
            ("adapters", made.adapters),
            (f"keys and values of {made.num_tokens:,} tokens", made.cache),
            ("passes", made.passes),
        )
        if size
    )
    figures = f"{gib(made.total)} of {gib(made.limit)} GiB on {where} ({parts})"
    if made.refusal:
        advice = "; set engine.name=transformers"
        return f"evaluation and serving would fail: {made.engine} does not answer with {made.refusal}{advice}"
    if made.fits:
        return f"answering by {made.engine} takes {figures}; by formula, not measured"
    advice = f"; set {' or '.join(made.advice)}" if made.advice else "; a GPU with more memory would do"
    return f"evaluation and serving do not fit: answering by {made.engine} takes {figures}{advice}"


def _needed(
    shape: ModelShape, setup: AnswerSetup, strategy: Strategy, hardware: Hardware, profile: Profile, max_seq_len: int
) -> Answering:
    by_vllm, n = setup.engine == "vllm", setup.num_gpus
    rank = strategy.r if isinstance(strategy, LoRA) else 0
    num_adapters = 1 if rank else 0
    if by_vllm and setup.max_adapters:  # room for all, each of the largest rank
        num_adapters = setup.max_adapters
        rank = next((r for r in VLLM_RANKS if r >= (setup.max_adapter_rank or rank)), VLLM_RANKS[-1])
    widths = shape.num_layers * sum(inputs + outputs for inputs, outputs in shape.linears.values())
    num_tokens = min(max_seq_len, shape.max_position_embeddings)
    each = 2 * shape.num_layers * shape.key_size // min(n, shape.num_kv_heads)
    wide = 4 * shape.hidden_size + (2 * shape.intermediate_size + shape.query_size + 2 * shape.key_size) // n
    passes = 2 * PASS_TOKENS[setup.engine] * wide
    if not by_vllm:  # vLLM scores in what memory_fraction leaves free: logits in 16 and 32 bits, and their logarithms
        passes += (2 + 4 + 4) * SCORED_TOKENS * shape.vocab_size
    fixed = profile.context_bytes + profile.workspace_bytes + (profile.nccl_bytes if n > 1 else 0)
    return Answering(
        engine=setup.engine,
        num_gpus=n,
        weights=_weights(shape, setup.quantization) // n,
        adapters=2 * num_adapters * rank * widths,
        cache=2 * each * num_tokens,
        passes=passes,
        fixed=fixed,
        limit=int(hardware.memory_bytes * setup.memory_fraction),
        num_tokens=num_tokens,
        refusal=refused_by_vllm(strategy, shape) if by_vllm else "",
    )


def _weights(shape: ModelShape, quantization: str) -> int:
    """Bytes of a base in 16 bits, or with the decoder's linear layers in fewer."""
    others = 2 * (shape.num_parameters - shape.layer_parameters)
    if quantization == "none":
        return 2 * shape.num_parameters
    if quantization == "fp8":
        return others + shape.layer_parameters
    return others + QLoRA(bits=8 if quantization == "int8" else 4).quantised_bytes(shape)
