"""The benchmark script runs from end to end on a tiny model, and its arithmetic is right."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]


def test_llama_2_7b_has_its_published_size(scripts: None) -> None:
    from bench.timed_steps.shapes import SHAPES

    # 32 * (4 * 4096^2 + 3 * 4096 * 11008) + 32000 * 4096 = 6,607,077,376 in products; the embedding's 131,072,000 and
    # 65 norms of 4096 make it 6,738,415,616, as Llama 2 7B reports.
    assert SHAPES["llama2-7b"].matrix_parameters == 6_607_077_376
    assert SHAPES["llama2-7b"].parameters == 6_738_415_616
    assert SHAPES["llama2-70b"].parameters == 68_976_648_192


def test_lora_needs_four_flops_per_frozen_parameter_and_causal_attention(scripts: None) -> None:
    from bench.timed_steps.shapes import SHAPES, needed_flops

    shape = SHAPES["llama2-7b"]
    # Attention: 3 * 32 layers * 4 * 4096 * 1024 tokens before on average = 1,610,612,736.
    assert needed_flops(shape, full=False, sequence=2048) == 4 * 6_738_415_616 + 1_610_612_736
    assert needed_flops(shape, full=False, sequence=2048, embedding=False) == 4 * 6_607_077_376 + 1_610_612_736
    assert needed_flops(shape, full=True, sequence=2048) == 6 * 6_738_415_616


def test_a_share_is_of_one_gpu(scripts: None) -> None:
    from bench.training.tables import with_shares

    row = {"shape": "llama2-7b", "strategy": "full", "sequence": 2048, "world_size": 2, "tokens_per_second": 2000.0}
    # 6 * 6,738,415,616 FLOPs * 1000 tokens/s of each GPU / 1e14 = 0.4043.
    assert with_shares(row, 1e14)["share_with_embedding"] == pytest.approx(0.4043, abs=1e-4)


def test_short_examples_have_the_mean_that_was_asked_for(scripts: None) -> None:
    from bench.timed_steps.shards import short_examples

    lengths = [len(e.input_ids) for e in short_examples(4000, mean=200, limit=2048, vocabulary=100, seed=5)]
    # Deviation of the mean: 200 * sqrt(e^0.64 - 1) / sqrt(4000) = 3; the cut at 2048 takes less than 1.
    assert np.mean(lengths) == pytest.approx(200, abs=12)
    assert max(lengths) <= 2048


def test_the_filling_of_padded_batches_is_what_the_file_says(scripts: None) -> None:
    from bench.training.parts import filling

    file = REPOSITORY / "docs" / "benchmarks" / "short-examples.json"
    assert json.loads(file.read_text()) == filling()


def test_steps_of_two_sizes_have_no_ratio(scripts: None) -> None:
    from bench.training.tables import findings

    about = {"part": "short", "strategy": "lora", "zero_stage": 0, "world_size": 1, "micro_batch": 4, "sequence": 2048}
    packed = {**about, "contender": "packed", "stack": "p", "tokens_per_second": 20.0, "loss_per_token": 2.0}
    padded = {**packed, "contender": "padded", "tokens_per_second": 2.0, "filled": 0.5, "slots_per_step": 1463.2}
    first, _ = findings([padded, packed])
    assert first == "packed in steps of 8,192 token slots, padded of 1,463"


def test_findings_compare_rows_of_one_run(scripts: None) -> None:
    from bench.training.tables import findings

    def row(contender: str, speed: float) -> dict[str, Any]:
        return {
            "part": "lora", "contender": contender, "stack": contender, "strategy": "lora", "zero_stage": 0,
            "world_size": 1, "tokens_per_second": speed, "seconds_per_step": 1000 / speed, "peak_gib": 40.0,
        }  # fmt: skip

    found = list(findings([row("peft", 10.0), row("bare", 21.0), row("ours", 20.0)]))
    assert found == [
        "ours: 2.00x peft, 40.0 GiB beside 40.0",
        "the loop adds 5.0% to a bare loop over the same model and kernels",
    ]


def test_an_unknown_part_is_refused_in_one_line(tmp_path: Path) -> None:
    done = _run("--only", "lorra", "--output", str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("--only: no part 'lorra'; choose from lora, qlora")


def test_the_tiny_run_measures_our_loop_and_names_what_it_cannot_run(tmp_path: Path) -> None:
    only = "lora/peft-bf16,lora/ours,lora/unsloth"
    done = _run("--tiny", "--only", only, "--output", str(tmp_path), "--timeout", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = json.loads((tmp_path / "training.json").read_text())
    rows = {row["contender"]: row for row in run["rows"]}
    assert rows["ours"]["tokens_per_second"] > 0
    assert rows["ours"]["attention"] == "ray_ft_packed, examples"
    assert rows["peft-bf16"]["attention"] == "sdpa"
    assert len(rows["ours"]["losses"]) >= 2
    # The same weights, batches and optimizer; before the first update the losses are equal.
    assert rows["ours"]["losses"][0] == pytest.approx(rows["peft-bf16"]["losses"][0], rel=1e-5)
    assert rows["unsloth"]["error"] in ("needs a CUDA GPU", "ModuleNotFoundError: unsloth is not installed")
    assert "| ray_ft | 2 |" in (tmp_path / "training.md").read_text()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "bench_training"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
