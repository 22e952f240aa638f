"""What is drawn of a report: every system's figure, and the paired differences; places run from 0 to 100."""

from collections.abc import Sequence
from dataclasses import dataclass

from ray_ft.artifacts import Contrast, Score
from ray_ft.evaluation.report.findings import STRATA, Metric, in_order, metric_of
from ray_ft.evaluation.scores.scoring import BITS_PER_BYTE, main_metric


def present(rows: Sequence[Score] | Sequence[Contrast]) -> list[str]:
    """The strata that have figures, in the report's order."""
    return [stratum for stratum in STRATA if any(row.stratum == stratum for row in rows)]


@dataclass(frozen=True)
class Panel:
    """One stratum at a glance: a bar for each system, and whether tuned differs from base."""

    title: str
    metric: Metric
    num_items: int
    scores: tuple[Score, ...]
    verdict: str  # of tuned against base; empty where they were not compared


def panels(scores: Sequence[Score], contrasts: Sequence[Contrast]) -> list[Panel]:
    """Key-fact recall by stratum, and how many of the questions without an answer are declined."""
    found = []
    for stratum in present(scores):
        metric = main_metric(stratum)
        rows = tuple(s for s in scores if (s.stratum, s.metric) == (stratum, metric))
        if not rows:
            continue
        told = ((c.stratum, c.metric, c.treatment, c.control) for c in contrasts)
        verdicts = dict(zip(told, (c.verdict for c in contrasts), strict=True))
        verdict = verdicts.get((stratum, metric, "tuned", "base"), "")
        found.append(Panel(STRATA[stratum][0], metric_of(metric), rows[0].num_items, rows, verdict))
    return found


@dataclass(frozen=True)
class Bar:
    """One row of a forest plot; x positions run from 0 to 100 across the plot."""

    contrast: Contrast
    metric: Metric
    low_x: float
    mid_x: float
    high_x: float


@dataclass(frozen=True)
class Pair:
    """Two systems: the metric that carries the verdict, or that says most, and the others, which are exploratory."""

    title: str
    main: tuple[Bar, ...]
    others: tuple[Bar, ...]


@dataclass(frozen=True)
class Forest:
    """The paired differences of one stratum on one scale."""

    title: str
    pairs: tuple[Pair, ...]
    reach: float  # the scale runs from -reach to +reach
    margin_x: float  # half the width of the band in which differences do not matter


def forests(contrasts: Sequence[Contrast]) -> list[Forest]:
    """One plot per stratum, all on one scale, so that they can be compared; bits per byte has a scale of its own."""
    shares = [c for c in contrasts if c.stratum in STRATA and c.metric != BITS_PER_BYTE]
    if not shares:
        return []
    reach = max(0.05, *(abs(x) for c in shares for x in (c.low, c.high, c.difference)))
    found = []
    for stratum in present(shares):
        rows = [c for c in shares if c.stratum == stratum]
        by_pair: dict[tuple[str, str], list[Contrast]] = {}
        for c in rows:
            by_pair.setdefault((c.treatment, c.control), []).append(c)
        pairs = tuple(_pair(f"{a} against {b}", some, reach) for (a, b), some in by_pair.items())
        margin_x = _x(rows[0].margin, reach) - 50
        found.append(Forest(STRATA[stratum][0], pairs, reach, min(50.0, margin_x)))
    return found


def _pair(title: str, contrasts: Sequence[Contrast], reach: float) -> Pair:
    said = [c.metric == main_metric(c.stratum) for c in contrasts]
    metrics = in_order(c.metric for c in contrasts)
    order = sorted(range(len(contrasts)), key=lambda i: metrics.index(contrasts[i].metric))
    bars = {i: _bar(contrasts[i], reach) for i in order}
    return Pair(title, tuple(bars[i] for i in order if said[i]), tuple(bars[i] for i in order if not said[i]))


def _bar(c: Contrast, reach: float) -> Bar:
    return Bar(c, metric_of(c.metric), _x(c.low, reach), _x(c.difference, reach), _x(c.high, reach))


def _x(value: float, reach: float) -> float:
    """Place on an axis from -reach at 0 to +reach at 100, with 2 free at either end."""
    return round(50 + 48 * value / reach, 3)
