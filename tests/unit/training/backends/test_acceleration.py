from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ray_ft.strategies import LoRA
from ray_ft.training.backends import acceleration


@pytest.mark.parametrize(
    ("strategy", "added", "adapted"),
    [
        (LoRA(r=4, target_modules=("q_proj", "lm_head")), (), True),
        (LoRA(r=4), (), False),
        (LoRA(r=4, train_embeddings=True), (), False),
        (LoRA(r=4), (60,), False),
    ],
    ids=["an adapter on the head", "none", "the head itself", "a row of the head"],
)
def test_no_fused_loss_passes_by_an_adapter_on_the_head(strategy: LoRA, added: tuple[int, ...], adapted: bool) -> None:
    config = LlamaConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64
    )  # fmt: skip
    model = strategy.add_adapters(LlamaForCausalLM(config), seed=0, added_tokens=added)
    base = model.get_base_model()
    assert acceleration._head_is_adapted(base) == adapted
    if adapted:
        assert not acceleration._use_liger(base, loss_only=False)
    else:  # what a fused loss reads is what the head multiplies by, gradient and all
        hidden = torch.randn(3, 32)
        by_weight = hidden @ base.lm_head.weight.T
        torch.testing.assert_close(base.lm_head(hidden), by_weight)
        assert base.lm_head.weight.requires_grad == (strategy.train_embeddings or bool(added))


@pytest.mark.parametrize(
    ("kernel", "planned", "says"),
    [
        (
            "flash2",
            "flash4",
            "attention is by PyTorch's own FlashAttention-2, and the plan counted on FlashAttention-4",
        ),
        (None, "flash2", "attention is by transformers' own, with a mask, and the plan counted on PyTorch's own"),
        ("flash4", "flash4", None),
        ("flash2", "", None),
    ],
)
def test_a_run_says_when_it_attends_by_another_kernel_than_planned(kernel: Any, planned: str, says: str | None) -> None:
    task: Any = SimpleNamespace(plan={"attention": planned})
    found = acceleration._another_attention(kernel, task)
    assert found == [] if says is None else found[0].startswith(says)
