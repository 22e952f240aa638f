"""A base whose weights are missing, cut short or of another shape is refused with one line, before any step."""

import json
import shutil
from pathlib import Path

import pytest

from ray_ft.errors import ModelError
from ray_ft.strategies.base import load_base

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("harm", ["missing", "cut short", "other shape"])
def test_broken_weights_are_one_line(harm: str, tiny_model_path: str, tmp_path: Path) -> None:
    import torch

    base = tmp_path / "base"
    shutil.copytree(tiny_model_path, base)
    weights = base / "model.safetensors"
    if harm == "missing":
        weights.unlink()
    elif harm == "cut short":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps({**config, "intermediate_size": config["intermediate_size"] + 8}))
    says = "12 weights have another shape" if harm == "other shape" else r"the model cannot be loaded: \S"
    with pytest.raises(ModelError, match=f"base: {says}") as raised:
        load_base(str(base), dtype=torch.float32, device="cpu")
    assert "\n" not in str(raised.value)
