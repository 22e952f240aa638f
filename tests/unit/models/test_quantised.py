"""A quantised base stays as it was stored, on a processor that bitsandbytes has a kernel of its own for too."""

from collections.abc import Callable
from typing import Any

import pytest

from ray_ft.engines.transformers.base_weights import load_base
from ray_ft.strategies import QLoRA


@pytest.fixture(autouse=True)
def avx512_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """bitsandbytes takes the processor for one with AVX512-BF16."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)


def trained(zero_stage: int, dtype: str) -> Callable[[str], Any]:
    def load(model_path: str) -> Any:
        import torch

        strategy = QLoRA(r=4, zero_stage=zero_stage)  # type: ignore[arg-type]
        return strategy.load_model(model_path, dtype=getattr(torch, dtype), device=torch.device("cpu"), seed=1)

    return load


def answering(model_path: str) -> Any:
    return load_base(model_path, dtype="bfloat16", quantization="nf4")


@pytest.mark.parametrize(
    "load",
    [trained(0, "float32"), trained(0, "bfloat16"), trained(3, "float32"), trained(3, "bfloat16"), answering],
    ids=["fp32", "bf16", "fp32 under ZeRO-3", "bf16 under ZeRO-3", "answering"],
)
def test_a_pass_in_evaluation_mode_leaves_the_weights_as_they_were(
    load: Callable[[str], Any], tiny_model_path: str
) -> None:
    import torch

    model = load(tiny_model_path).eval()
    before = _stored(model)
    assert before
    with torch.no_grad():
        model(input_ids=torch.arange(4, 20)[None])
    after = _stored(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def _stored(model: Any) -> dict[str, Any]:
    """The bits and constants of each 4-bit weight."""
    import torch

    found = {}
    for name, module in model.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            found[f"{name}: bits"] = module.weight.data.detach().clone().reshape(-1).view(torch.uint8)
            found[f"{name}: constants"] = state.absmax.clone()
            found[f"{name}: nested"] = torch.tensor(state.nested)
    return found
