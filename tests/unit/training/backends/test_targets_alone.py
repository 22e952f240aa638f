"""On a CPU logits are made where there are targets: the same loss and gradients, in less time and memory."""

from typing import Any

import pytest
import torch

from ray_ft.training.backends.acceleration import as_inputs
from ray_ft.training.batches import IGNORED

NAMES = ("llama", "gemma2", "gpt2")


def a_model(name: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 60}
    more = {"num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8} if name != "gpt2" else {}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **shape, **more))


def a_batch(share: float) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 60, (2, 24), generator=draw)
    labels = torch.where(torch.rand(2, 24, generator=draw) < share, ids, IGNORED)
    return {"input_ids": ids, "labels": labels, "position_ids": torch.arange(24).expand(2, -1)}


def loss_and_gradients(model: Any, inputs: dict[str, Any]) -> tuple[float, list[Any]]:
    model.zero_grad()
    loss = model(**inputs, use_cache=False, num_items_in_batch=7).loss
    loss.backward()
    return float(loss), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("share", [0.2, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_and_its_gradients_are_those_of_all_logits(name: str, share: float) -> None:
    model, batch = a_model(name).train(False), a_batch(share)
    inputs = as_inputs(model, batch, device=torch.device("cpu"))
    shifted = torch.nn.functional.pad(batch["labels"], (0, 1), value=IGNORED)[:, 1:]
    assert len(inputs["logits_to_keep"]) == int((shifted != IGNORED).any(0).sum())
    loss, gradients = loss_and_gradients(model, inputs)
    whole, of_whole = loss_and_gradients(model, batch)
    assert loss == pytest.approx(whole, rel=1e-6)
    for mine, theirs in zip(gradients, of_whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_rows_without_targets_and_other_devices_are_left_alone() -> None:
    model, batch = a_model("llama"), a_batch(0.2)
    nothing = batch | {"labels": torch.full((2, 24), IGNORED)}
    assert "logits_to_keep" not in as_inputs(model, nothing, device=torch.device("cpu"))
    assert "logits_to_keep" not in as_inputs(model, batch, device=torch.device("meta"))
