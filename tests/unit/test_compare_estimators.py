"""Published runs against the profiles of their software, and the page that compares estimators."""

import csv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("scripts")


def test_published_rows_are_predicted_within_a_tenth() -> None:
    from bench.estimator.compare.published import read_published
    from bench.estimator.compare.stacks import predicted_bytes

    beyond = {}
    for row in read_published():
        predicted = predicted_bytes(row)
        if row.unpredictable or predicted is None:
            assert row.unpredictable, f"{row.id} has no prediction and says not why"
            continue
        error = predicted / row.measured_bytes - 1
        if abs(error) > 0.10:
            beyond[row.id] = error
    # LoRA of 70B under DeepSpeed's own settings, of which nvidia-smi showed 64 GB: 11% more than what is known of.
    assert list(beyond) == ["D1"]
    assert abs(beyond["D1"]) < 0.12


def test_every_published_row_is_in_the_table() -> None:
    from bench.estimator.compare.main import rows_table
    from bench.estimator.compare.published import read_published

    rows = read_published()
    table = rows_table(rows)
    assert len(rows) == 29
    assert all(f"| {row.id} |" in table for row in rows)


def test_the_others_formulas_by_hand() -> None:
    from bench.estimator.compare.rivals import Run, accelerate_bytes, deepspeed_bytes, is_made_for, llama_factory_bytes

    from ray_ft.models.shape import load_model_shape
    from ray_ft.strategies import Full, QLoRA

    shape = load_model_shape("meta-llama/Llama-2-7b-hf")
    count = 6_738_415_616
    full, shards = Run(shape, Full(zero_stage=0), 1), Run(shape, Full(zero_stage=3), 4)
    # 2 + 18 bytes each; 18 / 4 each and 4 for the head's 32000 x 4096; Adam's moments in fp32; 18, and half a byte.
    assert deepspeed_bytes(full) == 20 * count
    assert deepspeed_bytes(shards) == 4 * 32000 * 4096 + 18 * count // 4
    assert accelerate_bytes(full) == 8 * count
    assert llama_factory_bytes(full) == 18 * count
    assert llama_factory_bytes(Run(shape, QLoRA(zero_stage=0), 1)) == count / 2
    assert not is_made_for("DeepSpeed's estimators", Run(shape, QLoRA(zero_stage=0), 1))


def test_the_page_takes_measured_runs_where_there_are_any(tmp_path: Path) -> None:
    from bench.estimator.compare.main import main
    from bench.estimator.configuration import Configuration, to_values

    page = tmp_path / "page.md"
    assert main(["--measured", str(tmp_path / "none.csv"), "--output", str(page)]) == 0
    assert "measured on H200" not in page.read_text()

    measured = tmp_path / "measured.csv"
    configuration = Configuration("meta-llama/Llama-2-7b-hf", "lora", 2048, 4)
    ok = {"outcome": "ok", "gpu": "H200", "measured_device_bytes": 40 * 2**30}
    row = {"name": configuration.name, **to_values(configuration), **ok}
    failed = {**row, "outcome": "out of memory", "measured_device_bytes": ""}
    with measured.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows([row, failed])
    assert main(["--measured", str(measured), "--output", str(page)]) == 0
    assert "measured on H200\n\n1 runs." in page.read_text()
    assert f"| {configuration.name} | 40.00 |" in page.read_text()


def test_the_committed_page_holds_every_published_row() -> None:
    from bench.estimator.compare.published import read_published

    committed = (REPOSITORY / "docs/benchmarks/estimators.md").read_text()
    assert all(f"| {row.id} |" in committed for row in read_published())
