"""Whether a run may go on to its users: rules with a yes or a no each, for a pipeline that needs an exit code."""

from collections.abc import Iterable, Sequence

from ray_ft.artifacts import Comparison, Contrast, Ruling
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.report.findings import metric_of, stratum_title
from ray_ft.evaluation.scores.scoring import PRIMARY_METRIC


def rule_on(
    contrasts: Sequence[Contrast], *, min_gain: float, max_loss: float, against: Comparison | None = None
) -> list[Ruling]:
    """Gain on the stratum that the report is judged by, no loss on general questions, none to another run.

    Shares of key facts, by the near end of 95% intervals: a gain counts where it is at least `min_gain` and above
    zero, a loss is ruled out where it is at most `max_loss`. What was not measured is not ruled on, but the gain.
    """
    rulings = [_gain(findings.judged(contrasts), min_gain)]
    kept = [c for c in contrasts if (c.treatment, c.control) == ("tuned", "base") and findings.is_retention(c)]
    rulings += [_loss("loss", c, max_loss) for c in kept]
    if against is not None:
        compared = _of_tuned(against.contrasts, "B tuned", "A tuned")
        rulings += [_loss("against", c, max_loss) for c in compared]
        if not compared:
            rulings.append(Ruling("against", False, "no question was answered by the tuned models of both runs"))
    return rulings


def _gain(judged: Sequence[Contrast], min_gain: float) -> Ruling:
    contrast = next(iter(_of_tuned(judged, "tuned", "base")), None)
    if contrast is None:
        return Ruling("gain", False, "tuned was not compared with base on questions; see evaluation.systems")
    passed = contrast.verdict == "better" and contrast.low >= min_gain
    wanted = f"the near end of the interval must be at least {_points(min_gain)}"
    return Ruling("gain", passed, f"{_told(contrast)}, {contrast.verdict}; {wanted}")


def _loss(rule: str, contrast: Contrast, max_loss: float) -> Ruling:
    return Ruling(rule, contrast.low >= -max_loss, f"{_told(contrast)}; at most {_points(max_loss)} may be lost")


def _of_tuned(contrasts: Iterable[Contrast], treatment: str, control: str) -> list[Contrast]:
    return [c for c in contrasts if (c.treatment, c.control, c.metric) == (treatment, control, PRIMARY_METRIC)]


def _told(c: Contrast) -> str:
    metric = metric_of(c.metric)
    low, high = metric.format_difference(c.low), metric.format_difference(c.high)
    figures = f"{metric.title} {metric.format_difference(c.difference)} points, 95% interval {low} to {high}"
    return f"{c.treatment} against {c.control} on {stratum_title(c.stratum)}: {figures}"


def _points(share: float) -> str:
    return f"{100 * share:g} points"
