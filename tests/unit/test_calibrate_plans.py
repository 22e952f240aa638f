"""What plans choose and refuse becomes rows to run, and what becomes of those is told apart."""

from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
GIB = 2**30
pytestmark = pytest.mark.usefixtures("scripts")


def test_every_plan_is_followed_by_the_micro_batch_that_it_refused_and_by_the_edge() -> None:
    from bench.estimator.calibrate.plans import BEYOND, CASES, CHOSEN, MOST, NEXT, planned_runs
    from bench.estimator.predict import predict

    runs = planned_runs(CASES, gpu="H200")
    assert len({case.name for case in CASES}) == len(CASES) >= 5
    by = {(run.case.name, run.role): run.configuration for run in runs}
    for case in CASES:
        chosen, after, most = (by[case.name, role] for role in (CHOSEN, NEXT, MOST))
        beyond = by.get((case.name, BEYOND), after)  # where one row more is the micro-batch that was refused
        fits = [predict(c, gpu="H200")["predicted_fits"] for c in (chosen, after, most, beyond)]
        assert fits == [True, False, True, False], case.name
        assert chosen.tokens_per_step == after.tokens_per_step  # the same global batch
        assert (most.micro_batch + 1, most.accumulation) == (beyond.micro_batch, beyond.accumulation)
    assert {c.num_gpus for c in by.values()} == {1, 2}


def test_a_run_of_the_grid_is_predicted_as_the_plan_predicts_it(tmp_path: Path) -> None:
    from bench.estimator.calibrate.plans import CASES, configured, planned_runs
    from bench.estimator.predict import predict

    from ray_ft.api import plan

    for case in CASES:
        made = plan(configured(case, gpu="H200", output_dir=str(tmp_path))).estimate
        found = predict(planned_runs([case], gpu="H200")[0].configuration, gpu="H200")
        assert found["predicted_device_bytes"] == made.memory.device, case.name
        assert found["predicted_tokens_per_second"] == pytest.approx(made.tokens_per_second)


def row(outcome: str, *, role: str, device: float = 0) -> dict[str, Any]:
    """A row of 100 usable GiB; tensors take 3 less than the device shows."""
    from bench.estimator.calibrate.plans import FAILS, TRAINS

    return {
        "plan": "p", "role": role, "name": f"{role} {outcome}", "num_gpus": 1, "outcome": outcome,
        "expected": TRAINS if role in ("chosen", "most that fits") else FAILS, "usable_bytes": 100 * GIB,
        "predicted_phase_bytes": {"loss": 90 * GIB, "load": 10 * GIB}, "predicted_seconds": 1.0,
        "predicted_allocated_bytes": 90 * GIB, "predicted_device_bytes": 95 * GIB,
        "measured_allocated_bytes": int((device - 3) * GIB), "measured_device_bytes": int(device * GIB),
        "measured_seconds": 1.25,
    }  # fmt: skip


def test_what_was_refused_runs_out_of_memory_or_comes_within_the_headroom() -> None:
    from bench.estimator.calibrate.plans import judged

    found = [
        judged(row(outcome, role=role, device=device))
        for outcome, role, device in (
            ("ok", "chosen", 88), ("out of memory", "chosen", 0), ("out of memory", "next micro-batch", 0),
            ("ok", "one row more", 101), ("ok", "one row more", 99), ("error", "one row more", 0),
        )
    ]  # fmt: skip
    assert [(r["happened"], r["as_expected"]) for r in found] == [
        ("trained", True),
        ("ran out of memory", False),
        ("ran out of memory", True),
        ("came within the headroom", True),
        ("would have fitted", False),
        ("failed", False),
    ]


def test_the_table_has_every_row_and_says_what_was_not_as_planned() -> None:
    from bench.estimator.calibrate.plans import report

    rows = [row("ok", role="one row more", device=75), row("ok", role="chosen", device=100),
            row("out of memory", role="next micro-batch")]  # fmt: skip
    lines = report(rows).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:5]] == ["chosen", "next micro-batch", "one row more"]
    assert "| 90.0 of 100.0 | 97.0 | 100.0 | 1.00 | 1.25 | trains | trained |" in lines[2]
    assert "would have fitted: **not as planned**" in lines[4]
    # Tensors: 90 of 97 is 7.2% too little, 90 of 72 is 25% too much; the device: 95 of 100 and of 75; 1 of 1.25 s.
    assert lines[6:] == [
        "2 of 3 as expected.",
        "allocated memory: off by 16.1% in the median, -7.2% to +25.0%.",
        "device memory: off by 15.8% in the median, -5.0% to +26.7%.",
        "step time: off by 20.0% in the median, -20.0% to -20.0%.",
    ]


def test_a_row_of_a_plan_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    from bench.estimator.calibrate.plans import TINY, judged, planned_runs
    from bench.estimator.measurements import COLUMNS, PLAN_COLUMNS, append_row, read_rows

    (run,) = planned_runs(TINY, gpu="H200")
    written = judged({"name": run.configuration.name, "outcome": "ok", **run.columns()})
    append_row(tmp_path / "plans.csv", written, columns=(*PLAN_COLUMNS, *COLUMNS))
    assert read_rows(tmp_path / "plans.csv") == [written]
