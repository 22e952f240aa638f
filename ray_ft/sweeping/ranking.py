"""From the trials' figures to the order of the settings, and to what may be said about it; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

from ray_ft.artifacts import Standing
from ray_ft.config import EvaluationConfig, SweepConfig
from ray_ft.evaluation.scores.statistics import (
    ALPHA,
    MIN_DOCUMENTS,
    bootstrap_ratios,
    bounds_asked,
    decide,
    worst_difference,
)
from ray_ft.sweeping.noise import documents_p, seeds_p
from ray_ft.sweeping.scores import LOWER_IS_BETTER, Items, table_of
from ray_ft.sweeping.space import Trial

Verdict = Literal["winner", "worse", "within noise", "not known", "not finished"]


@dataclass(frozen=True)
class Outcome:
    """How one trial ended."""

    trial: Trial
    status: Literal["finished", "stopped", "failed"]
    reason: str = ""
    value: float | None = None  # of a finished trial
    items: Items | None = None  # what an evaluation metric is made of
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the run


def rank(outcomes: Sequence[Outcome], sweep: SweepConfig, evaluation: EvaluationConfig, *, seed: int) -> list[Standing]:
    """One row per setting, best first. Only settings whose every seed finished can win or be judged."""
    by_setting: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_setting.setdefault(outcome.trial.setting, []).append(outcome)
    sign = 1.0 if sweep.metric in LOWER_IS_BETTER else -1.0
    whole = {name: found for name, found in by_setting.items() if all(o.value is not None for o in found)}
    order = sorted(whole, key=lambda name: sign * fmean(_values(whole[name])))
    judged = _judge([whole[name] for name in order], sweep, evaluation, seed=seed)
    partial = [name for name in by_setting if name not in whole]
    partial.sort(key=lambda name: sign * fmean(_values(by_setting[name]) or [sign * float("inf")]))
    return [*judged, *(_standing(by_setting[name], "not finished") for name in partial)]


def _values(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.value for outcome in outcomes if outcome.value is not None]


def _standing(outcomes: Sequence[Outcome], verdict: Verdict) -> Standing:
    values = _values(outcomes)
    return Standing(
        setting=outcomes[0].trial.setting,
        parameters=outcomes[0].trial.parameters,
        verdict=verdict,
        value=fmean(values) if values else None,
        spread=stdev(values) if len(values) > 1 else None,
        num_seeds=len(values),
        trials=tuple(str(o.trial.run_path) for o in outcomes if o.value is not None),
        reasons=tuple(f"{o.trial.name}: {o.status}: {o.reason}" for o in outcomes if o.value is None),
    )


def _judge(
    ordered: Sequence[Sequence[Outcome]], sweep: SweepConfig, evaluation: EvaluationConfig, *, seed: int
) -> list[Standing]:
    """The best setting against each other one; a difference counts when neither seeds nor questions explain it."""
    if not ordered:
        return []
    standings = [_standing(outcomes, "not known") for outcomes in ordered]
    standings[0] = replace(standings[0], verdict="winner")
    if sweep.metric != "validation_loss":
        standings = _by_documents(standings, ordered, sweep, evaluation, seed=seed)
    if sweep.num_seeds > 1:
        standings = _by_seeds(standings, ordered, seed=seed)
    return standings


def _by_seeds(standings: list[Standing], ordered: Sequence[Sequence[Outcome]], *, seed: int) -> list[Standing]:
    best = _values(ordered[0])
    for i, outcomes in enumerate(ordered[1:], start=1):
        p_value = seeds_p(best, _values(outcomes), num_settings=len(ordered), seed=seed)
        p_value = max(p_value, standings[i].p_value or 0.0)
        clear = p_value <= ALPHA and standings[i].verdict != "within noise"
        standings[i] = replace(standings[i], p_value=p_value, verdict="worse" if clear else "within noise")
    return standings


def _by_documents(
    standings: list[Standing],
    ordered: Sequence[Sequence[Outcome]],
    sweep: SweepConfig,
    evaluation: EvaluationConfig,
    *,
    seed: int,
) -> list[Standing]:
    sums, weights = table_of([[o.items for o in outcomes if o.items is not None] for outcomes in ordered])
    draws = bootstrap_ratios(sums, weights, num_draws=evaluation.num_bootstrap, seed=seed)
    p_values = documents_p(sums, num_draws=evaluation.num_bootstrap, seed=seed)
    best = float(sums[:, 0].sum() / weights.sum())
    made = []
    for i, standing in enumerate(standings):
        margin, worst, bounds, reach = evaluation.margin, 1.0, (0.0, 1.0), (-1.0, 1.0)
        if sweep.metric in LOWER_IS_BETTER:
            margin *= best
            by_document = sums[:, i] - sums[:, 0]
            bounds, reach = bounds_asked(sums[:, i], weights), bounds_asked(by_document, weights)
            worst = worst_difference(by_document, weights, margin=margin)
        own, difference = draws[i].interval(*bounds), draws[i] - draws[0]
        spread = difference.interval(*reach)
        verdict = decide(
            difference=float(sums[:, i].sum() - sums[:, 0].sum()),
            low=spread.low,
            high=spread.high,
            p_value=float(p_values[i, 0]),
            p_equivalence=difference.equivalence_p(margin=margin, worst=worst),
            margin=margin,
            num_documents=len(weights),
            higher_is_better=sweep.metric not in LOWER_IS_BETTER,
        )
        shown: Literal["winner", "worse", "within noise"] = "worse" if verdict == "worse" else "within noise"
        made.append(
            replace(
                standing,
                low=own.low,
                high=own.high,
                p_value=None if i == 0 else float(p_values[i, 0]),
                verdict="winner" if i == 0 else shown,
            )
        )
    return made


def statements(standings: Sequence[Standing], sweep: SweepConfig, *, num_documents: int | None) -> list[str]:
    """What the table says, and what it cannot say."""
    if not standings or standings[0].verdict != "winner":
        return ["No setting finished all its trials, so there is no winner."]
    winner, others = standings[0], [s for s in standings[1:] if s.verdict != "not finished"]
    assert winner.value is not None
    if len(standings) == 1 and winner.spread is not None:
        return [
            f"{winner.setting}: {sweep.metric.replace('_', ' ')} {winner.value:.4f} on average over {winner.num_seeds} "
            f"trainings that differ by their seed alone, with a standard deviation of {winner.spread:.4f}."
        ]
    best = "lowest" if sweep.metric in LOWER_IS_BETTER else "highest"
    said = [f"{winner.setting} has the {best} {sweep.metric.replace('_', ' ')}, {winner.value:.4f}."]
    equal = [s for s in others if s.verdict == "within noise"]
    if num_documents is not None and num_documents < MIN_DOCUMENTS:
        said.append(f"The questions come from {num_documents} documents; fewer than {MIN_DOCUMENTS} can show nothing.")
    if any(s.verdict == "not known" for s in others):
        said.append("One trial of each setting cannot tell a difference from chance: sweep.num_seeds=3 can.")
    elif equal:
        names = ", ".join(s.setting for s in equal[:3]) + (f" and {len(equal) - 3} more" if len(equal) > 3 else "")
        said.append(f"Not shown to be worse than the winner, within noise: {names}. Take the cheapest of them.")
    elif others:
        said.append("Every other setting is worse by more than chance, as far as these trials can tell.")
    if sweep.metric != "validation_loss":
        said.append(
            "The winner was picked on these questions, so its own figure flatters it: judge it on other questions."
        )
        if sweep.num_seeds == 1:
            said.append("With one seed, chance in training is not in these intervals; sweep.num_seeds=3 would show it.")
    unfinished = [s for s in standings if s.verdict == "not finished"]
    if unfinished:
        said.append(f"{len(unfinished)} of {len(standings)} settings did not finish all their trials and cannot win.")
    return said
