"""What plans choose and refuse becomes rows to run, and what becomes of those is told apart."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
GIB = 2**30


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The script's own package can be imported."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "bench"]:
        del sys.modules[name]


def test_every_plan_is_followed_by_the_micro_batch_that_it_refused_and_by_the_edge() -> None:
    from bench.plans import BEYOND, CASES, CHOSEN, MOST, NEXT, planned_runs
    from bench.predict import predict

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
    from bench.plans import CASES, configured, planned_runs
    from bench.predict import predict

    from ray_ft.api import plan

    for case in CASES:
        made = plan(configured(case, gpu="H200", output_dir=str(tmp_path))).estimate
        found = predict(planned_runs([case], gpu="H200")[0].configuration, gpu="H200")
        assert found["predicted_device_bytes"] == made.memory.device, case.name
        assert found["predicted_tokens_per_second"] == pytest.approx(made.tokens_per_second)


def row(outcome: str, *, role: str, allocated: float = 0, **other: Any) -> dict[str, Any]:
    """A row of 100 usable GiB, with 2 that torch does not know of."""
    from bench.plans import FAILS, TRAINS

    return {
        "plan": "p", "role": role, "name": f"{role} {outcome}", "num_gpus": 1, "outcome": outcome,
        "expected": TRAINS if role in ("chosen", "most that fits") else FAILS, "usable_bytes": 100 * GIB,
        "predicted_phase_bytes": {"loss": 90 * GIB, "load": 10 * GIB}, "predicted_seconds": 1.0,
        "predicted_allocated_bytes": 90 * GIB, "predicted_device_bytes": 95 * GIB, "outside_bytes": 2 * GIB,
        "measured_allocated_bytes": int(allocated * GIB), "measured_device_bytes": 100 * GIB,
        "measured_seconds": 1.25, **other,
    }  # fmt: skip


def test_what_was_refused_runs_out_of_memory_or_comes_within_the_headroom() -> None:
    from bench.plans import judged

    found = [
        judged(row(outcome, role=role, allocated=allocated))
        for outcome, role, allocated in (
            ("ok", "chosen", 88), ("out of memory", "chosen", 0), ("out of memory", "next micro-batch", 0),
            ("ok", "one row more", 99), ("ok", "one row more", 97), ("error", "one row more", 0),
        )
    ]  # fmt: skip
    # 99 + 2 is more than the 100 GiB that may be used, 97 + 2 is not.
    assert [(r["happened"], r["as_expected"]) for r in found] == [
        ("trained", True),
        ("ran out of memory", False),
        ("ran out of memory", True),
        ("came within the headroom", True),
        ("would have fitted", False),
        ("failed", False),
    ]


def test_the_table_has_every_row_and_says_what_was_not_as_planned() -> None:
    from bench.plans import judged, report

    rows = [judged(row("ok", role="one row more", allocated=75)), judged(row("ok", role="chosen", allocated=100)),
            judged(row("out of memory", role="next micro-batch"))]  # fmt: skip
    lines = report(rows).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:5]] == ["chosen", "next micro-batch", "one row more"]
    assert "| 90.0 of 100.0 | 100.0 | 100.0 | 1.00 | 1.25 | trains | trained |" in lines[2]
    assert "would have fitted: **not as planned**" in lines[4]
    # 90 of 100 allocated is 10% too little, 90 of 75 is 20% too much; 1 of 1.25 seconds is 20% too little.
    assert lines[6:] == [
        "2 of 3 as expected.",
        "allocated memory: off by 15.0% in the median, -10.0% to +20.0%.",
        "device memory: off by 5.0% in the median, -5.0% to -5.0%.",
        "step time: off by 20.0% in the median, -20.0% to -20.0%.",
    ]


def test_a_row_of_a_plan_is_the_same_after_it_was_written(tmp_path: Path) -> None:
    from bench.measurements import COLUMNS, PLAN_COLUMNS, append_row, read_rows
    from bench.plans import TINY, judged, planned_runs

    (run,) = planned_runs(TINY, gpu="H200")
    written = judged({"name": run.configuration.name, "outcome": "ok", **run.columns()})
    append_row(tmp_path / "plans.csv", written, columns=(*PLAN_COLUMNS, *COLUMNS))
    assert read_rows(tmp_path / "plans.csv") == [written]
