"""The activation formulas against what PyTorch really saves for backward, on small shapes of every architecture."""

import weakref
from dataclasses import dataclass
from typing import Any

import pytest

from ray_ft.models.shape import MODEL_TYPES, ModelShape, shape_from_config
from ray_ft.planning.memory.activations import Stack, layer_bytes, tail_bytes
from ray_ft.strategies import Full, LoRA, Strategy

TOKENS = 64
SMALL = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 1,
}
# Heads as wide as the model in Llama; wider or narrower where the architecture says so on its own.
HEADS = {"qwen3": {"head_dim": 48}, "gemma": {"head_dim": 64}}


@pytest.mark.parametrize("packed", [False, True], ids=["one example", "packed"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("strategy", [Full(), LoRA(r=8)], ids=["full", "lora"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_layer_saves_what_the_formula_says(model_type: str, strategy: Strategy, dtype: str, packed: bool) -> None:
    shape, two, three = _saved(model_type, strategy, dtype, packed)
    stack = Stack(compute_bytes=2 if dtype == "bfloat16" else 4, masked_attention=packed)
    # Gemma also keeps 1 + weight of both norms in fp32, whatever the number of tokens.
    constant = 2 * 4 * shape.hidden_size if model_type == "gemma" else 0
    assert three - two == TOKENS * layer_bytes(shape, strategy, stack, TOKENS) + constant


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("down_proj",), ("o_proj", "up_proj")])
def test_only_the_inputs_of_the_adapted_layers_are_kept(targets: tuple[str, ...]) -> None:
    strategy = LoRA(r=4, target_modules=targets)
    shape, two, three = _saved("llama", strategy, "bfloat16", packed=True)
    assert three - two == TOKENS * layer_bytes(shape, strategy, Stack(), TOKENS)


@pytest.mark.parametrize("model_type", ["llama", "phi3"])
def test_dora_saves_what_the_base_and_the_adapter_put_out(model_type: str) -> None:
    strategy = LoRA(r=8, use_dora=True)
    shape, two, three = _saved(model_type, strategy, "bfloat16", packed=True)
    # Whatever the number of tokens: the norm, the magnitude by it and that less 1, 2 bytes for every output.
    constant = 3 * 2 * sum(size for _, size in shape.linears.values())
    assert three - two == TOKENS * layer_bytes(shape, strategy, Stack(), TOKENS) + constant


@pytest.mark.parametrize("strategy", [Full(), LoRA(r=8)], ids=["full", "lora"])
def test_outside_the_layers_the_formula_covers_what_is_saved_and_the_loss(strategy: Strategy) -> None:
    shape, two, three = _saved("llama", strategy, "bfloat16", packed=True)
    outside = two - 2 * (three - two)
    # The loss keeps the fp32 log-probabilities, 4 bytes per vocabulary entry, until its backward pass makes 12 of them.
    formula = TOKENS * (tail_bytes(shape, strategy, Stack(), TOKENS) + 4 * shape.vocab_size)
    # What is left: ids that the formula counts and autograd does not save, and the first layer of a frozen base, whose
    # input needs no gradient and is not kept.
    assert formula * 0.75 < outside <= formula


def _saved(model_type: str, strategy: Strategy, dtype: str, packed: bool) -> tuple[ModelShape, int, int]:
    """The shape, and the bytes that autograd saves with two and with three layers."""
    two, three = (_saved_bytes(model_type, layers, strategy, dtype, packed) for layers in (2, 3))
    config = {**SMALL, **HEADS.get(model_type, {}), "model_type": model_type, "num_hidden_layers": 2}
    return shape_from_config(config, model_type), two, three


def _saved_bytes(model_type: str, num_layers: int, strategy: Strategy, dtype: str, packed: bool) -> int:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        model_type, **SMALL, **HEADS.get(model_type, {}), num_hidden_layers=num_layers, tie_word_embeddings=False
    )
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    if isinstance(strategy, LoRA):
        model = strategy.add_adapters(model, seed=0)
    model.train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: list[weakref.ref[Saved]] = []

    def keep(tensor: Any) -> Saved:
        saved = Saved(tensor)
        kept.append(weakref.ref(saved))
        return saved

    ids = torch.randint(2, SMALL["vocab_size"], (1, TOKENS))
    half = torch.arange(TOKENS // 2)
    positions = torch.cat([half, half])[None] if packed else torch.arange(TOKENS)[None]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved.tensor):
        loss = model(input_ids=ids, labels=ids, position_ids=positions, use_cache=False).loss
    alive = [saved.tensor.untyped_storage() for reference in kept if (saved := reference()) is not None]
    del loss  # until here it held the graph; what DoRA computes aside is gone by then
    sizes = {storage.data_ptr(): storage.nbytes() for storage in alive}
    return sum(size for pointer, size in sizes.items() if pointer not in weights)


@dataclass
class Saved:
    """What autograd holds in place of a tensor, for as long as it holds it."""

    tensor: Any
