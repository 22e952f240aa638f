"""Packed examples see each other or not: measured on small copies of architectures that do and that do not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_ft.errors import ModelError
from ray_ft.training.batches import PackedRows
from ray_ft.training.checks import gate as gate_module
from ray_ft.training.checks.isolation import TOLERANCE, isolate, small_copy, why_state_leaks

RANDOM = np.random.default_rng(0)
ROWS = [[RANDOM.integers(4, 30_000, n).astype(np.int32) for n in (30, 120, 11)] for _ in range(2)]


def _folder(tmp_path: Path, kind: str, **settings: Any) -> str:
    import transformers

    getattr(transformers, kind)(**settings).save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize(
    "kind", ["LlamaConfig", "MistralConfig", "Qwen2Config", "Qwen3Config", "GemmaConfig", "Phi3Config"]
)
def test_attention_keeps_packed_examples_apart(kind: str, tmp_path: Path) -> None:
    difference = isolate(_folder(tmp_path, kind), ROWS)
    assert difference is not None
    assert difference < 1e-5


def test_the_copy_is_small_and_keeps_the_size_of_a_head(tmp_path: Path) -> None:
    model = small_copy(_folder(tmp_path, "LlamaConfig"))  # 7 billion parameters by default
    assert model.config.hidden_size // model.config.num_attention_heads == 128
    assert sum(p.numel() for p in model.parameters()) < 2_000_000


def test_a_row_whose_examples_see_each_other_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_positions(model: Any, ids: Any, positions: Any) -> Any:
        import torch

        return model(input_ids=torch.from_numpy(ids)[None], use_cache=False).logits[0].double()

    monkeypatch.setattr("ray_ft.training.checks.isolation._logits", without_positions)
    difference = isolate(_folder(tmp_path, "LlamaConfig"), ROWS)
    assert difference is not None
    assert difference > 10 * TOLERANCE


def test_a_linear_attention_layer_carries_its_state_over_and_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its gates forget within some tokens, so short examples show what is carried over.
    path = _folder(tmp_path, "Qwen3NextConfig", num_hidden_layers=4)
    rows = [[part[:12] for part in row] for row in ROWS]
    difference = isolate(path, rows)
    assert difference is not None
    assert difference > TOLERANCE
    monkeypatch.setattr(gate_module, "isolate", lambda path, rows: difference)
    with pytest.raises(ModelError, match=r"see each other.*because its linear_attention layers carry a state"):
        gate_module._check_isolation(_packed(tmp_path / "set"), path)


def test_a_state_space_model_is_refused_even_where_no_small_copy_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"would see each other in .*, because its mamba2? layers carry a state"):
        isolate(_folder(tmp_path, "Mamba2Config"), ROWS)


def test_an_architecture_that_cannot_be_tried_passes_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    assert isolate(str(tmp_path), ROWS) is None
    assert "packing was not tried on a small copy" in caplog.text


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "llama"}, ""),
        ({"model_type": "x", "layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({"model_type": "falcon_h1", "mamba_d_state": 128}, "mamba_d_state"),
        ({"model_type": "recurrent_gemma"}, "recurrent_gemma"),
    ],
)
def test_layers_that_carry_a_state_are_found_in_the_configuration(
    config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert why_state_leaks(str(tmp_path)) == (
        f", because its {reason} layers carry a state from one into the next" if reason else ""
    )


def _packed(folder: Path) -> PackedRows:
    """One row of two examples."""
    row = np.array([[5, 6, 7, 8, 9, 10], [-100, 6, 7, -100, 9, 10], [0, 1, 2, 0, 1, 2]], dtype=np.int32)
    (folder / "shards").mkdir(parents=True)
    np.save(folder / "shards" / "a.npy", row[None])
    about = {"num_rows": 1, "num_tokens": 6, "shards": [{"file": "a.npy", "num_rows": 1}]}
    (folder / "shards" / "manifest.json").write_text(json.dumps({"max_seq_len": 6, "splits": {"train": about}}))
    return PackedRows(folder, "train")
