"""Simulated exams and the page of verdicts that is made of them."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks"
pytestmark = pytest.mark.usefixtures("scripts")


def test_the_page_is_what_its_files_say() -> None:
    from bench.evaluation.main import rendered

    assert (BENCHMARKS / "verdicts.md").read_text() == rendered(BENCHMARKS), "run scripts/bench_evaluation --report"


def test_no_row_of_the_files_claims_equivalence_too_often() -> None:
    # 400 exams with a share of 5%: standard error 1.1 points
    from bench.evaluation.main import read

    at_margin = [row for row in read(BENCHMARKS / "verdicts.csv") if abs(row["gain"]) >= row["margin"]]
    assert {row["documents"] for row in at_margin} == {6, 10, 20, 30, 50, 100, 200}
    assert max(row["no meaningful difference"] / row["exams"] for row in at_margin) <= 0.05


def test_exams_have_the_truth_that_they_are_asked_for() -> None:
    import numpy as np
    from bench.evaluation.exams import Truth

    sums = Truth(0.1, 0.1, 0.3, 5, 0.5).exams(200, 200, np.random.default_rng(0))
    # The mean of 40,000 documents has a standard error below 0.0025; documents of five alike are 5 times as variable
    # as one question, and of five independent ones as variable as sqrt 5: rho 0.5 is between.
    assert sums.mean() / 5 == pytest.approx(0.1, abs=0.01)
    assert sums.var() / (5 * (0.3 - 0.1**2)) == pytest.approx(1 + 4 * 0.5, rel=0.05)


def test_a_command_simulates_and_writes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.evaluation import exams, main

    monkeypatch.setattr(exams, "DOCUMENTS", (6, 10))
    monkeypatch.setattr(exams, "TRUTHS", ((0.5, 0.0), (0.5, 0.5)))
    monkeypatch.setattr(exams, "POWER_MARGINS", (0.5,))
    assert main.main(["--output", str(tmp_path), "--exams", "5", "--draws", "100"]) == 0
    assert "| 50 | +0 | 10 |" in (tmp_path / "verdicts.md").read_text()


@pytest.mark.parametrize(
    ("said", "gain", "wrong"),
    [
        ("better", 0.0, True), ("worse", 0.0, True), ("worse", 0.1, True), ("better", 0.1, False),
        ("no meaningful difference", 0.1, True), ("no meaningful difference", 0.05, False), ("undecided", 0.1, False),
    ],
)  # fmt: skip
def test_which_verdicts_are_false(said: str, gain: float, wrong: bool) -> None:
    from bench.evaluation.exams import Truth, is_false

    assert is_false(said, Truth(0.1, gain, 0.2, 1, 0.0)) is wrong  # type: ignore[arg-type]
