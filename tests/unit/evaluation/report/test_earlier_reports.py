"""A report that an earlier version wrote, with the stratum `own`, still loads and is still rendered."""

import json
from pathlib import Path

from ray_ft import artifacts
from ray_ft.artifacts import Report
from ray_ft.evaluation.report.render import render_html, render_markdown

GUARDS = ("key_fact_recall", "length_ratio", "truncated")
SCORES = [
    {"system": system, "metric": metric, "mean": 0.5, "low": 0.4, "high": 0.6, "num_items": 40, "stratum": "own",
     "num_documents": 40}
    for system in ("base", "tuned") for metric in GUARDS
]  # fmt: skip
CONTRAST = {
    "metric": "key_fact_recall", "treatment": "tuned", "control": "base", "difference": 0.2, "low": 0.1, "high": 0.3,
    "p_value": 0.01, "num_items": 40, "verdict": "better", "stratum": "own", "num_documents": 40, "primary": True,
    "p_holm": 0.01, "margin": 0.02, "num_more": None,
}  # fmt: skip
BEFORE = {
    "model": "m", "scores": SCORES, "contrasts": [CONTRAST], "num_questions": 40, "samples_path": "s", "html_path": "h",
    "fingerprint": "f", "notes": [], "details": {"questions": "40 of 40: 40 own"},
}  # fmt: skip


def load_before(folder: Path) -> Report:
    (folder / "report.json").write_text(json.dumps({"inputs": {"seed": 0}, "artifact": BEFORE}))
    return artifacts.load(Report, folder)


def test_its_own_questions_are_user_questions(tmp_path: Path) -> None:
    report = load_before(tmp_path)
    assert {row.stratum for row in (*report.scores, *report.contrasts)} == {"user"}
    assert report.details == {"questions": "40 of 40: 40 own"}  # sentences stay as they were written


def test_it_is_rendered_and_judged_by_them(tmp_path: Path) -> None:
    report = load_before(tmp_path)
    markdown = render_markdown(report)
    assert "Judged by user questions, tuning helps without retrieval" in markdown
    assert "## Scores on user questions" in markdown
    assert "On user questions" in render_html(report, [], seed=0)
