"""The sweep's results as a table for people and as one CSV row per trial."""

import csv
import io
from collections.abc import Sequence

from ray_ft.artifacts import Standing, Sweep
from ray_ft.sweeping.ranking import Outcome

MISSING = "-"
OF_THE_LAST_STEP = ("learning_rate", "grad_norm")  # where the schedule ended would be taken for the trial's setting


def render_table(made: Sweep) -> str:
    """Settings, best first, with their figures; then why trials did not finish, and what it all says."""
    standings = made.standings
    columns: list[tuple[str, list[str]]] = [("setting", [s.setting for s in standings])]
    columns.append((made.metric.replace("_", " "), [_number(s.value) for s in standings]))
    if any(s.spread is not None for s in standings):
        columns.append(("± seeds", [_number(s.spread) for s in standings]))
    if any(s.low is not None for s in standings):
        columns.append(("95% interval", [_interval(s) for s in standings]))
    best = standings[0].value if standings else None
    columns.append(("to winner", [_difference(s, best) for s in standings]))
    if any(s.p_value is not None for s in standings):
        columns.append(("p", [_p(s.p_value) for s in standings]))
    columns.append(("trials", [f"{s.num_seeds}/{s.num_seeds + len(s.reasons)}" for s in standings]))
    columns.append(("verdict", [s.verdict for s in standings]))
    lines = _aligned(columns, left=("setting", "verdict"))
    lines += [f"* {reason}" for standing in standings for reason in standing.reasons]
    return "\n".join([*lines, *made.statements])


def render_csv(outcomes: Sequence[Outcome], metric: str) -> str:
    """One row per trial: its values, how it ended, its figure, and its run's own metrics."""
    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.trial.parameters))
    metrics = sorted({name for outcome in outcomes for name in outcome.metrics} - {metric, *OF_THE_LAST_STEP})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *keys, "seed", "status", metric, *metrics, "reason"])
    for outcome in outcomes:
        values = [outcome.trial.parameters.get(key, "") for key in keys]
        figures = [outcome.value, *(outcome.metrics.get(name) for name in metrics)]
        cells = ["" if figure is None else figure for figure in figures]
        writer.writerow([outcome.trial.name, *values, outcome.trial.seed, outcome.status, *cells, outcome.reason])
    return text.getvalue()


def _aligned(columns: Sequence[tuple[str, list[str]]], *, left: tuple[str, ...]) -> list[str]:
    widths = [max(map(len, [head, *cells])) for head, cells in columns]
    rows = zip(*([head, *cells] for head, cells in columns), strict=True)
    return [
        "  ".join(
            cell.ljust(width) if columns[i][0] in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _interval(standing: Standing) -> str:
    return MISSING if standing.low is None else f"{standing.low:.4f} to {standing.high:.4f}"


def _difference(standing: Standing, best: float | None) -> str:
    if standing.verdict in ("winner", "not finished") or standing.value is None or best is None:
        return ""
    return f"{standing.value - best:+.4f}"


def _p(value: float | None) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
