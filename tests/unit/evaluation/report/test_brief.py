"""What a terminal shows of a report: few lines of at most 80 columns that say what was found and what is next."""

from dataclasses import replace

import pytest

from ray_ft.artifacts import Contrast, Report, Score
from ray_ft.evaluation.report.brief import WIDTH, render_brief

CONTRAST = Contrast(
    "key_fact_recall", "tuned", "base", 0.74, 0.6, 0.83, 0.0001, 80, "better", "seen", 14, primary=True, p_holm=0.0003,
    margin=0.05,
)  # fmt: skip


def report(*contrasts: Contrast) -> Report:
    means = {
        ("seen", "base", "key_fact_recall"): 0.01,
        ("seen", "tuned", "key_fact_recall"): 0.75,
        ("seen", "echo", "key_fact_recall"): 0.0,
        ("unanswerable", "base", "abstention"): 0.2,
        ("unanswerable", "tuned", "abstention"): 0.05,
        ("held_out", "base", "bits_per_byte"): 1.2345,
        ("held_out", "tuned", "bits_per_byte"): 1.1,
        ("seen", "retriever", "recall@3 (passage)"): 0.9,
    }
    scores = [Score(system, metric, mean, 0, 1, 80, stratum) for (stratum, system, metric), mean in means.items()]
    return Report("base", tuple(scores), contrasts, 80, "samples.jsonl", "runs/report.html", "f" * 16)


def test_a_table_of_systems_and_strata_then_found_report_and_next() -> None:
    shown = render_brief(report(CONTRAST), page="runs/report.html", serve="ray-ft serve config.yaml").split("\n")
    assert shown[:6] == [
        "key-fact recall     seen  unanswerable  bits per byte",
        "base                1.0%         20.0%          1.234",
        "tuned              75.0%          5.0%          1.100",
        "echo                0.0%",
        "(unanswerable: share that is declined)",
        "",
    ]
    assert shown[6].startswith("Found   Judged by seen documents, tuning helps")
    assert "+74.0" in "".join(shown)
    assert shown[-2:] == ["Report  runs/report.html", "Next    ray-ft serve config.yaml"]
    assert max(map(len, shown)) <= WIDTH
    assert len(shown) <= 14


@pytest.mark.parametrize(
    ("verdict", "num_more", "said"),
    [
        ("worse", None, "biggest regressions"),
        ("undecided", 120, "about 120 more questions would decide"),
        ("undecided", None, "more wordings of each fact"),
        ("no meaningful difference", None, "more wordings of each fact"),
    ],
)
def test_what_is_next_depends_on_the_verdict(verdict: str, num_more: int | None, said: str) -> None:
    contrast = replace(CONTRAST, verdict=verdict, num_more=num_more)  # type: ignore[arg-type]
    shown = " ".join(render_brief(report(contrast), page="report.html", serve="ray-ft serve c.yaml").split())
    assert said in shown.partition(" Next ")[2]


def test_without_questions_bits_per_byte_are_the_table() -> None:
    bits = tuple(score for score in report().scores if score.metric == "bits_per_byte")
    shown = render_brief(replace(report(), scores=bits), page="report.html", serve="ray-ft serve c.yaml").split("\n")
    assert shown[0].split() == ["key-fact", "recall", "bits", "per", "byte"]
    assert "Compare tuned with base" in shown[4]
