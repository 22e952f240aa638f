"""What each system's answers took, beside how good they are."""

from collections.abc import Sequence
from typing import Any

from ray_ft.artifacts import Cost, Report
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.report.findings import STRATA, judged, metric_of
from ray_ft.evaluation.report.scatter import Point, scatter
from ray_ft.evaluation.scores.scoring import main_metric

LIMITS = (
    "Seconds are of one copy of the model, which makes many answers together: what an answer costs, not how long one "
    "waits for it. They were measured once, in this exam, without an interval; on a GPU the first system of the base, "
    "and of the adapter, also pays for kernels that are made then. `ray-ft bench` times one answer at a time."
)


def costs_of(done: Sequence[Done], *, price_per_hour: float | None = None) -> list[Cost]:
    """Of every system that was timed, in order; `price_per_hour` is that of one copy of the model."""
    by_system: dict[str, list[Done]] = {}
    for d in done:
        if d.kind == "question" and d.seconds > 0:
            by_system.setdefault(d.system, []).append(d)
    costs = []
    for system, answers in by_system.items():
        seconds, number = sum(d.seconds for d in answers), len(answers)
        dollars = None if price_per_hour is None else 1000 * price_per_hour * seconds / number / 3600
        tokens = sum(d.num_completion_tokens for d in answers)
        costs.append(
            Cost(
                system=system,
                num_answers=number,
                seconds_per_answer=seconds / number,
                seconds_per_token=seconds / max(tokens, 1),
                prompt_tokens=sum(d.num_prompt_tokens for d in answers) / number,
                output_tokens=tokens / number,
                dollars_per_thousand=dollars,
            )
        )
    return costs


def view(report: Report) -> dict[str, Any]:
    """The rows, each with the main metric of every stratum, and a picture of the stratum that the report goes by."""
    means = {(s.stratum, s.system, s.metric): s for s in report.scores}
    strata = [s for s in STRATA if any((s, cost.system, main_metric(s)) in means for cost in report.costs)]
    ruling = judged(report.contrasts)
    stratum = ruling[0].stratum if ruling else next(iter(strata), "")
    points = [
        Point(cost.system, cost.seconds_per_answer, score.mean, cost.seconds_per_answer, cost.seconds_per_answer,
              score.low, score.high, is_tuned=cost.system.startswith("tuned"))
        for cost in report.costs
        if (score := means.get((stratum, cost.system, main_metric(stratum)))) is not None
    ]  # fmt: skip
    return {
        "costs": report.costs,
        "cost_limits": LIMITS,
        "cost_strata": {s: f"{metric_of(main_metric(s)).title}, {STRATA[s][0]}" for s in strata},
        "cost_score": {(s, c.system): means.get((s, c.system, main_metric(s))) for s in strata for c in report.costs},
        "cost_picture": scatter(points, x_title="seconds per answer", y_title=metric_of(main_metric(stratum)).title),
        "cost_title": f"{metric_of(main_metric(stratum)).title} on {STRATA[stratum][0]}" if points else "",
    }
