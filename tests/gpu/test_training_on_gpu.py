"""Training on a real GPU: every strategy loads, trains in 16 bits and learns. Run with `scripts/test tests/gpu`."""

import json
from pathlib import Path
from typing import Any

import pytest

import ray_ft
from ray_ft.config import parse_config

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")]
DOCUMENTS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "full", "zero_stage": 2},
        {"name": "lora", "zero_stage": 0},
        {"name": "qlora", "zero_stage": 0},
        {"name": "qlora", "zero_stage": 0, "bits": 8},
    ],
    ids=["full", "lora", "qlora-nf4", "qlora-int8"],
)
def test_the_validation_loss_falls(
    strategy: dict[str, Any], tiny_model_path: str, ray_cluster: None, tmp_path: Path
) -> None:
    config = parse_config(
        {
            "run_name": "gpu",
            "output_dir": str(tmp_path),
            "model": {"name": tiny_model_path, "max_seq_len": 256},
            "data": {"sources": [str(DOCUMENTS)], "recipes": ["paragraph"], "validation_fraction": 0.2},
            "train": {
                "strategy": strategy, "max_steps": 20, "eval_every": 1, "learning_rate": 3e-3, "num_workers": 1,
                "checkpoint_every": 20,
            },
        }
    )  # fmt: skip
    ray_ft.prepare(config)
    tuned = ray_ft.train(config)
    lines = [json.loads(line) for line in (config.run_path / "metrics.jsonl").read_text().splitlines()]
    first = next(line["validation_loss"] for line in lines if "validation_loss" in line)
    assert ray_ft.plan(config).gpu != "cpu"
    # A random base starts near ln(4096) = 8.3 nats; 20 steps must be worth more than rounding in 16 bits.
    assert tuned.metrics["validation_loss"] < first - 0.05
