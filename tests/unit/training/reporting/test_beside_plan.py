"""A run's result holds what was predicted beside what was measured, and a plan that was off is said to have been."""

import logging
from typing import Any

import pytest

from ray_ft.artifacts import Estimate, Memory, Plan
from ray_ft.strategies import LoRA
from ray_ft.training.reporting.beside_plan import beside_plan, say_beside_plan

GIB = 2**30
# 2 workers x 2 rows x 2 steps of 64 tokens = 512 tokens in a step, at 256 tokens/s: 2 s planned.
MEMORY = Memory(0, 0, 0, 0, 0, 0, 0, total=12 * GIB, phase="loss", device=13 * GIB)
ESTIMATE = Estimate(LoRA(), 2, 2, 2, False, MEMORY, 0, 256.0, hours=0.5, cost=1.0, fits=True)


def plan(gpu: str = "H200") -> Plan:
    return Plan("builtin:tiny", gpu, LoRA(zero_stage=0, offload="none"), 2, 2, 2, False, ESTIMATE)


def lines(*seconds: float, peak: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"step": i, "seconds_per_step": s, "peak_memory_gib": peak} for i, s in enumerate(seconds, start=1)
    ]
    return [*found, {"step": 1, "warning": "no C compiler"}, {"step": 2, "validation_loss": 1.0}]


def test_the_median_step_and_the_highest_peak_count() -> None:
    found = beside_plan(plan(), [*lines(60.0, 2.5, 2.4, peak=12.0), *lines(2.3, 2.2, peak=12.5)], max_seq_len=64)
    assert found == {
        "seconds_per_step": 2.4, "planned_seconds_per_step": 2.0, "peak_memory_gib": 12.5, "planned_memory_gib": 13.0,
    }  # fmt: skip


def test_a_run_without_lines_compares_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = beside_plan(plan(), [], max_seq_len=64)
    assert found == {}
    with caplog.at_level(logging.INFO, logger="ray_ft"):
        say_beside_plan(found, plan())
    assert caplog.messages == []


def test_a_plan_that_was_right_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ray_ft"):
        say_beside_plan(beside_plan(plan(), lines(2.1, 2.2, 2.1, peak=12.8), max_seq_len=64), plan())
    # 13 / 12.8 = 1.0156 and 2 / 2.1 = 0.952.
    assert caplog.messages == ["measured: memory 12.80 GiB, planned 13.00 (+2%); step 2.10 s, planned 2.00 (-5%)"]


def test_a_plan_that_was_off_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="ray_ft"):
        say_beside_plan(beside_plan(plan(), lines(2.1, peak=14.0), max_seq_len=64), plan())
    (message,) = caplog.messages
    assert message.startswith("the plan was off: memory by more than 5%; `scripts/calibrate` measures this GPU")


def test_time_on_a_cpu_is_a_guess_and_nobody_is_sent_to_calibrate_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="ray_ft"):
        say_beside_plan(beside_plan(plan("cpu"), lines(9.0, peak=14.0), max_seq_len=64), plan("cpu"))
    assert caplog.messages == []
