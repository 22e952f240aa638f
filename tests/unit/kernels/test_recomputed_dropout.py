"""Whatever draws at random in a layer draws the same when the layer is recomputed, and nothing else changes."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig, PhiConfig

from ray_ft.errors import ModelError
from ray_ft.kernels.attention import packed_lengths, use_packed_attention
from ray_ft.kernels.recompute import _POLICIES, recompute_layers
from ray_ft.strategies import LoRA
from ray_ft.training.neftune import add_noise_to_embeddings

SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 61,
    "use_cache": False,
}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "attention": LlamaConfig(**SIZES, attention_dropout=0.5),
    "hidden": GPTNeoXConfig(**SIZES, hidden_dropout=0.5),
    "attention and hidden": GPTNeoXConfig(**SIZES, attention_dropout=0.5, hidden_dropout=0.5),
    "attention and residual": PhiConfig(**SIZES, attention_dropout=0.5, resid_pdrop=0.5),
    "none": LlamaConfig(**SIZES),
}


def gradients(config: Any, *, keep: str | None, lora_dropout: float, noise: float) -> dict[str, Any]:
    """Of two micro-batches, the second of which draws after the first one's backward pass."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    base = model
    if lora_dropout:
        model = LoRA(r=4, lora_dropout=lora_dropout).add_adapters(model, seed=0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    use_packed_attention(base)
    if keep is not None:
        recompute_layers(base, base.base_model.layers, keep=keep, offload=False)  # type: ignore[arg-type]
    add_noise_to_embeddings(model, alpha=noise)
    model.train()
    torch.manual_seed(7)
    for seed in (1, 2):
        ids = torch.randint(0, 61, (2, 16), generator=torch.Generator().manual_seed(seed))
        positions = torch.stack([torch.cat([torch.arange(9), torch.arange(7)]), torch.arange(16)])
        model(input_ids=ids, labels=ids, position_ids=positions, **packed_lengths(positions)).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("keep", ["products", "attention", "inputs"])
@pytest.mark.parametrize(
    ("name", "lora_dropout", "noise"),
    [
        ("attention", 0.0, 0.0),
        ("hidden", 0.0, 0.0),
        ("attention and hidden", 0.0, 0.0),
        ("attention and residual", 0.0, 0.0),
        ("none", 0.5, 0.0),
        ("attention", 0.5, 5.0),
        ("none", 0.0, 5.0),
    ],
)
def test_gradients_are_those_without_recomputation(keep: str, name: str, lora_dropout: float, noise: float) -> None:
    expected = gradients(CONFIGS[name], keep=None, lora_dropout=lora_dropout, noise=noise)
    found = gradients(CONFIGS[name], keep=keep, lora_dropout=lora_dropout, noise=noise)
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-4, atol=1e-6, msg=parameter)


@pytest.mark.parametrize("kernel", ["flash_attention", "efficient_attention", "cudnn_attention"])
def test_attention_that_draws_is_recomputed_so_that_what_follows_draws_alike(kernel: str) -> None:
    """On a GPU these draw by themselves; kept, they would leave the generator where it was."""
    operator = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}").default
    x = torch.zeros(1, 1, 1, 8)
    before = {"flash_attention": (), "efficient_attention": (None, True), "cudnn_attention": (None, True)}[kernel]
    kept = {p: _POLICIES["attention"](64, None, operator, x, x, x, *before, p).name for p in (0.0, 0.1)}
    assert kept == {0.0: "MUST_SAVE", 0.1: "PREFER_RECOMPUTE"}


@pytest.mark.parametrize("key", ["attention_dropout", "attn_pdrop", "attention_probs_dropout_prob"])
def test_packed_attention_is_not_used_where_weights_are_dropped(key: str) -> None:
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SIZES))
    setattr(model.config, key, 0.1)
    assert use_packed_attention(model) is None


def test_a_dropout_that_no_key_tells_of_is_not_ignored() -> None:
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SIZES)).train()
    use_packed_attention(model)
    model.model.layers[0].self_attn.attention_dropout = 0.1
    positions = torch.arange(8)[None]
    with pytest.raises(ModelError, match="LlamaAttention asks for an attention that packed rows cannot have"):
        model(input_ids=positions, position_ids=positions, **packed_lengths(positions))
