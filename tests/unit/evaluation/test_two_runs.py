"""Two runs are compared on the questions that both were asked, and a gate says yes or no."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.artifacts import Comparison, Contrast, Report, save
from ray_ft.cli import main
from ray_ft.errors import DataError, MissingArtifactError
from ray_ft.evaluation.gate import rule_on
from ray_ft.evaluation.two_runs import compare_runs, render_comparison

DOCUMENTS = 30
SETTINGS = {"margin": 0.02, "num_bootstrap": 2000, "seed": 0}
GAIN = Contrast(
    "key_fact_recall", "tuned", "base", 0.5, 0.3, 0.7, 0.001, 80, "better", "seen", 14, primary=True, p_holm=0.003
)
KEPT = replace(GAIN, difference=0.0, low=-0.03, high=0.02, verdict="undecided", stratum="retention")


def answer(recall: float, text: str = "an answer") -> dict[str, Any]:
    return {"answer": text, "scores": {"key_fact_recall": recall, "token_f1": recall, "length_ratio": 1.0}}


def sample(number: int, recalls: dict[str, float], **more: Any) -> dict[str, Any]:
    return {
        "question": f"question {number}", "reference": "a fact", "document_id": f"d{number % DOCUMENTS}",
        "stratum": "seen", "answerable": True,
        "answers": {system: answer(recall, f"{system} {recall}") for system, recall in recalls.items()},
    } | more  # fmt: skip


def write_run(folder: Path, samples: list[dict[str, Any]], *contrasts: Contrast, **details: str) -> Path:
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    report = Report("base", (), contrasts, len(samples), "samples.jsonl", "report.html", "f" * 16, details=details)
    save(report, folder, {})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """B knows two thirds of what A does not, loses one question, and was asked one that A was not."""
    before = [sample(i, {"base": 0.0, "tuned": 0.0}) for i in range(90)]
    after = [sample(i, {"base": 0.0, "tuned": float(i % 3 > 0)}) for i in range(90)]
    before[0]["answers"]["tuned"] = answer(1.0, "A knew")
    a = write_run(tmp_path / "a", before, GAIN, engine="transformers", seed="1")
    b = write_run(tmp_path / "b", [*after, sample(90, {"base": 0.0, "tuned": 1.0})], GAIN, engine="vllm", seed="2")
    return a, b


def test_common_questions_are_compared_and_the_rest_counted(runs: tuple[Path, Path]) -> None:
    found = compare_runs(*runs, **SETTINGS)  # type: ignore[arg-type]
    assert (found.num_questions, found.num_only_a, found.num_only_b) == (90, 0, 1)
    (tuned,) = [c for c in found.contrasts if c.primary and c.treatment == "B tuned"]
    assert (tuned.control, tuned.verdict) == ("A tuned", "better")
    assert tuned.difference == pytest.approx((60 - 1) / 90)
    assert tuned.low < tuned.difference < tuned.high
    assert [one.question for one in found.regressions] == ["question 0"]
    assert len(found.wins) == 60


def test_what_else_differs_is_told(runs: tuple[Path, Path]) -> None:
    found = compare_runs(*runs, **SETTINGS)  # type: ignore[arg-type]
    assert found.differences == {"engine": ("transformers", "vllm")}  # seeds are the runs' own
    shown = render_comparison(found)
    assert "90 questions that both were asked (0 of A alone and 1 of B alone are left out)" in shown
    assert "not the same: engine: transformers / vllm" in shown
    told = "- better: On seen documents, B tuned is better than A tuned: key-fact recall +65.6 points"
    assert told in " ".join(shown.split())
    assert "against A base" not in shown  # it answered alike
    assert "the same scores in both: base" in shown
    assert max(map(len, shown.splitlines())) <= max(80, *(len(str(run)) + 3 for run in runs))
    assert "- question 0 (tuned)\n  A: A knew\n  B: tuned 0.0" in shown


def test_what_only_some_questions_are_scored_by_is_compared_on_these(tmp_path: Path) -> None:
    folders = []
    for name, parses in (("a", 0.0), ("b", 1.0)):
        samples = [sample(i, {"tuned": 0.5}) for i in range(60)]
        for one in samples[1::2]:
            one["answers"]["tuned"]["scores"]["parses"] = parses
        folders.append(write_run(tmp_path / name, samples))
    found = compare_runs(*folders, **SETTINGS)  # type: ignore[arg-type]
    (code,) = [c for c in found.contrasts if c.metric == "parses"]
    assert (code.num_items, code.difference, code.verdict) == (30, 1.0, "better")
    assert {c.num_items for c in found.contrasts if c.metric == "token_f1"} == {60}


def test_a_run_against_itself_makes_no_difference(runs: tuple[Path, Path]) -> None:
    found = compare_runs(runs[1], runs[1], **SETTINGS)  # type: ignore[arg-type]
    assert all(c.difference == 0 and c.verdict != "better" for c in found.contrasts)
    assert not found.wins
    assert not found.regressions


def test_held_out_documents_are_compared_by_bits(tmp_path: Path) -> None:
    folders = []
    for name, bits in (("a", 800.0), ("b", 600.0)):
        folder = write_run(tmp_path / name, [])
        lines = [
            {"document_id": f"d{i}", "system": "tuned", "num_bytes": 1000, "bits": bits + i} for i in range(DOCUMENTS)
        ]
        (folder / "evaluation" / "bits_per_byte.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        folders.append(folder)
    (bits_per_byte,) = compare_runs(*folders, **SETTINGS).contrasts  # type: ignore[arg-type]
    assert bits_per_byte.difference == pytest.approx(-0.2)
    assert bits_per_byte.verdict == "better"  # fewer bits


def test_nothing_in_common_and_damage_are_one_line_each(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    other = write_run(tmp_path / "other", [sample(1000, {"tuned": 1.0})])
    with pytest.raises(DataError, match="no question and no held-out document in common"):
        compare_runs(runs[0], other, **SETTINGS)  # type: ignore[arg-type]
    (other / "evaluation" / "samples.jsonl").write_text('{"question": "cut o')
    with pytest.raises(MissingArtifactError, match=r"samples\.jsonl: line 1 is damaged"):
        compare_runs(runs[0], other, **SETTINGS)  # type: ignore[arg-type]
    (other / "evaluation" / "samples.jsonl").unlink()
    with pytest.raises(MissingArtifactError, match=r"samples\.jsonl cannot be read"):
        compare_runs(runs[0], other, **SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contrasts", "min_gain", "max_loss", "passed"),
    [
        ([GAIN], 0.0, 0.05, [True]),
        ([GAIN], 0.3, 0.05, [True]),
        ([GAIN], 0.31, 0.05, [False]),
        ([replace(GAIN, verdict="undecided", low=-0.1)], 0.0, 0.05, [False]),
        ([GAIN, KEPT], 0.0, 0.05, [True, True]),
        ([GAIN, KEPT], 0.0, 0.02, [True, False]),
        ([], 0.0, 0.05, [False]),
    ],
)
def test_a_gate_goes_by_the_near_end_of_intervals(
    contrasts: list[Contrast], min_gain: float, max_loss: float, passed: list[bool]
) -> None:
    rulings = rule_on(contrasts, min_gain=min_gain, max_loss=max_loss)
    assert [ruling.passed for ruling in rulings] == passed
    assert [ruling.rule for ruling in rulings] == ["gain", "loss"][: len(passed)]


def test_a_gate_holds_a_run_against_the_last_one(runs: tuple[Path, Path]) -> None:
    better = compare_runs(*runs, **SETTINGS)  # type: ignore[arg-type]
    worse = compare_runs(runs[1], runs[0], **SETTINGS)  # type: ignore[arg-type]
    for against, passed in ((better, True), (worse, False)):
        assert [r.passed for r in rule_on([GAIN], min_gain=0, max_loss=0.05, against=against)] == [True, passed]
    none = Comparison("a", "b", 0, 1, 1, (), (), (), (), {})
    assert not rule_on([GAIN], min_gain=0, max_loss=0.05, against=none)[-1].passed


def test_exit_codes_and_output(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = map(str, runs)
    assert main(["compare", a, b]) == 0
    assert "B gained most on:" in capsys.readouterr().out
    assert main(["compare", a, b, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_questions"] == 90
    assert main(["gate", b, "--against", a]) == 0
    assert [line[:13].split() for line in capsys.readouterr().out.splitlines()] == [["yes", "gain"], ["yes", "against"]]
    assert main(["gate", b, "--min-gain", "0.4"]) == 3
    assert capsys.readouterr().out.startswith("no  gain     tuned against base on seen documents: key-fact recall +50")
    assert main(["gate", str(runs[0].parent / "nothing")]) == 2
    assert main(["compare", a, str(runs[0].parent)]) == 1
    assert "No report in" in capsys.readouterr().err
