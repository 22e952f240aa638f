"""The grid's script runs from end to end on a tiny model, keeps every row, and fits what was put in."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
GIB = 2**30
pytestmark = pytest.mark.usefixtures("scripts")


def test_the_grid_spans_methods_stages_lengths_and_checkpointing() -> None:
    from bench.estimator.calibrate import grid

    every = (*grid.ONE_GPU, *grid.TWO_GPUS)
    assert len({c.name for c in every}) == len(every) >= 48
    assert {c.strategy for c in every} == {"full", "lora", "qlora"}
    assert {c.zero_stage for c in every} == {0, 1, 2, 3}
    assert (min(c.sequence for c in every), max(c.sequence for c in every)) == (512, 16384)
    assert {c.checkpointing for c in every} == {True, False}
    assert not any(c.layers for c in every)  # every model is whole


def test_a_row_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    from bench.estimator.configuration import Configuration, to_values
    from bench.estimator.measurements import append_row, configuration_of, read_rows

    configuration = Configuration("builtin:tiny", "qlora", 512, 2, checkpointing=True, accumulation=2)
    row = {
        "name": configuration.name, **to_values(configuration), "outcome": "ok", "predicted_fits": False,
        "measured_seconds": 0.25, "allocated_load_bytes": 7, "predicted_phase_bytes": {"loss": 3},
    }  # fmt: skip
    append_row(tmp_path / "rows.csv", row)
    append_row(tmp_path / "rows.csv", row)
    assert read_rows(tmp_path / "rows.csv") == [row, row]
    assert configuration_of(read_rows(tmp_path / "rows.csv")[0]) == configuration


def test_rows_take_the_place_of_others_only_when_they_are_written(tmp_path: Path) -> None:
    from bench.estimator.measurements import append_row, read_rows, write_rows

    path = tmp_path / "rows.csv"
    append_row(path, {"name": "a", "outcome": "ok"})
    with pytest.raises(ValueError, match="unknown"):
        write_rows(path, [{"name": "b", "outcome": "ok"}, {"unknown": 1}])
    assert read_rows(path) == [{"name": "a", "outcome": "ok"}]
    write_rows(path, [{"name": "b", "outcome": "error"}])
    assert read_rows(path) == [{"name": "b", "outcome": "error"}]


def test_a_csv_that_is_there_is_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "estimator.csv").write_text("name\n")
    done = _run("--tiny", "--output", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip().endswith("is there already: --resume goes on from it, another --output begins anew")
    assert (tmp_path / "estimator.csv").read_text() == "name\n"


def test_the_device_holds_what_torch_reserves_and_what_it_knows_nothing_of() -> None:
    from bench.estimator.measurements import with_totals

    row = {"outcome": "ok", "allocated_load_bytes": 5, "allocated_update_bytes": 9, "reserved_update_bytes": 12,
           "reserved_load_bytes": 11, "outside_bytes": 3}  # fmt: skip
    found = with_totals(row)
    assert (found["measured_allocated_bytes"], found["measured_reserved_bytes"]) == (9, 12)
    assert found["measured_device_bytes"] == 15


@pytest.mark.parametrize(
    ("program", "outcome", "problem"),
    [
        ("import sys; sys.stdin.readline(); sys.exit(3)", "error", "rank 0 died"),
        ("import time; time.sleep(60)", "error", "rank 0 did not end"),
        (
            "import os, sys, time; sys.stdin.readline()\n"
            'if os.environ[\'RANK\'] == \'1\': print(\'{"outcome": "out of memory", "error": "full",'
            ' "left_bytes": 1}\', flush=True)\n'
            "time.sleep(60)",
            "out of memory",
            "full",
        ),
    ],
)
def test_workers_that_fail_cost_one_row_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, outcome: str, problem: str
) -> None:
    from bench.estimator.calibrate import workers
    from bench.estimator.configuration import Configuration

    real = subprocess.Popen
    monkeypatch.setattr(
        workers.subprocess, "Popen", lambda _, **options: real([sys.executable, "-c", program], **options)
    )
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.2)
    group = workers.Workers([], num=2, folder=tmp_path, scratch=tmp_path / "scratch")
    row = group.run(Configuration("builtin:tiny", "lora", 64, 2), predicted_seconds=None, timeout=2)
    assert (row["outcome"], problem in row["error"]) == (outcome, True)
    assert group._processes == []  # none is left behind


def test_workers_that_are_started_again_have_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.estimator.calibrate import workers
    from bench.estimator.configuration import Configuration

    # Fails where the folder has a row already, as measure.py does, and leaves too much behind to go on.
    program = (
        "import os, sys; sys.stdin.readline(); os.mkdir('row-0')\n"
        f'print(\'{{"outcome": "ok", "error": "", "left_bytes": {2 * workers.LEFT_BYTES}}}\', flush=True)'
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        workers.subprocess, "Popen", lambda _, **options: real([sys.executable, "-c", program], **options)
    )
    group = workers.Workers([], num=1, folder=tmp_path, scratch=tmp_path / "scratch")
    for _ in range(2):
        row = group.run(Configuration("builtin:tiny", "lora", 64, 2), predicted_seconds=None, timeout=20)
        assert row["outcome"] == "ok", row


def measured_rows(profile: Any) -> list[dict[str, Any]]:
    """Part of the grid as a GPU with this profile would have it; what exceeds its memory runs out of it."""
    from bench.estimator.calibrate import grid
    from bench.estimator.configuration import to_values
    from bench.estimator.predict import predict

    rows = []
    for c in (*grid.ONE_GPU[::3], *grid.TWO_GPUS[::2]):
        p = predict(c, gpu="H200", profile=profile)
        row = {"name": c.name, **to_values(c), **predict(c, gpu="H200"), "gpu": "NVIDIA H200", "error": ""}
        outside = profile.context_bytes + (profile.nccl_bytes if c.num_gpus > 1 else 0)
        ran = p["predicted_device_bytes"] < 139.8 * GIB
        rows.append(row | {
            "outcome": "ok" if ran else "out of memory", "measured_allocated_bytes": p["predicted_allocated_bytes"],
            "measured_reserved_bytes": p["predicted_reserved_bytes"], "outside_bytes": outside,
            "measured_device_bytes": p["predicted_reserved_bytes"] + outside,
            "measured_seconds": p["predicted_seconds"],
        })  # fmt: skip
    return rows


def test_a_fitted_profile_predicts_what_it_was_fitted_to() -> None:
    from bench.estimator.calibrate.fitting import fit_memory, fit_rates
    from bench.estimator.configuration import from_values
    from bench.estimator.predict import seconds_by_profile

    from ray_ft.planning.profile import DEFAULT

    truth = replace(
        DEFAULT, context_bytes=700 * 2**20, nccl_bytes=900 * 2**20, efficiency=0.7, attention_efficiency=0.4,
        traffic_efficiency=0.7, eager_efficiency=0.36, dequantise_rate=1.2e12, link_bandwidth=2.2e11,
        launch_seconds=7e-4, step_seconds=8e-3,
    )  # fmt: skip
    rows = [row for row in measured_rows(truth) if row["outcome"] == "ok"]
    found = fit_rates(rows, fit_memory(rows, gpu="H200"), gpu="H200")
    assert (found.context_bytes, found.nccl_bytes) == (truth.context_bytes, truth.nccl_bytes)
    for row in rows:
        seconds = seconds_by_profile(from_values(row), gpu="H200")
        assert seconds(found) == pytest.approx(row["measured_seconds"], rel=0.03), row["name"]
    # Products take most of the time, so their rate is told apart from the others'.
    assert found.efficiency == pytest.approx(truth.efficiency, rel=0.08)


def test_a_gpu_that_nobody_has_measured_is_predicted_by_published_runs_of_others() -> None:
    from statistics import median

    from bench.estimator.measurements import configuration_of, read_rows
    from bench.estimator.predict import seconds_by_profile

    from ray_ft.planning.profile import DEFAULT

    rows = [row for row in read_rows(REPOSITORY / "docs/benchmarks/estimator-h200.csv") if row["outcome"] == "ok"]
    errors = [
        seconds_by_profile(configuration_of(row), gpu="H200")(DEFAULT) / row["measured_seconds"] - 1 for row in rows
    ]
    assert len(rows) >= 40
    assert median(abs(error) for error in errors) < 0.10


def test_wrong_answers_to_does_it_fit_are_counted() -> None:
    from bench.estimator.calibrate.errors import Compared, fits, percentile, spread

    def row(name: str, outcome: str, fits_: bool) -> Compared:
        return Compared({"name": name, "outcome": outcome}, {"predicted_fits": fits_}, None)

    compared = [row("a", "ok", True), row("b", "out of memory", True), row("c", "ok", False),
                row("d", "out of memory", False), row("e", "error", True)]  # fmt: skip
    assert [line for line in fits(compared) if line] == [
        "Predicted to fit, ran out of memory: 1 of 2 (b).",
        "Predicted not to fit, would have fitted: 1 of 2 (c).",
    ]
    # Of 0 to 100 in steps of 1, 95 is the 95th percentile; of two values it lies 95% of the way.
    assert percentile(list(range(101)), 0.95) == 95
    assert percentile([1.0, 2.0], 0.95) == pytest.approx(1.95)
    assert spread("x", [-0.02, 0.01, 0.04]) == "| x | 2.0% | 3.8% | -2.0% | +4.0% | 3 |"


def test_the_tiny_run_measures_every_phase_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done = _run("--tiny", "--only", "*lora ZeRO-0 x1*", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "estimator.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["outcome"], row["prediction_error"]) == ("ok", "")
    assert row["phases"] == "load first forward backward update evaluation"
    assert float(row["measured_seconds"]) > 0
    again = _run("--tiny", "--only", "*lora ZeRO-0 x1*", "--output", str(tmp_path), "--resume")
    assert "1 rows in" in again.stdout
    assert "lora" not in again.stdout.replace(str(tmp_path), "")  # nothing was measured again


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "calibrate"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
