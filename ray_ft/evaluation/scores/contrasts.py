"""Pairs of systems on the same items: differences with intervals, tests and verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ray_ft.artifacts import Contrast, Score
from ray_ft.evaluation.scores.scoring import (
    AGAINST_RETRIEVAL,
    FLOOR,
    HARNESS,
    KNOWING_NOTHING,
    LEAST,
    PRIMARY_METRIC,
    PRIMARY_PAIRS,
    RECALL_BAR,
    RETRIEVER,
    SURPRISE,
    UNANSWERABLE,
    Measured,
    is_judged,
)
from ray_ft.evaluation.scores.statistics import (
    adjusted,
    bounds_asked,
    decide,
    num_more_needed,
    sign_flip_p,
    worst_difference,
)


def contrasts_of(
    groups: Sequence[Measured],
    *,
    margin: float,
    num_bootstrap: int,
    seed: int,
    pairs: Sequence[tuple[str, str]] = PRIMARY_PAIRS,
) -> list[Contrast]:
    """Every pair on every quality metric; Holm runs over the pairs on the primary metric in all strata together.

    Both tests of a pair, for a difference and for its absence, belong to that family.
    """
    found: list[_Unjudged] = []
    for group in groups:
        metrics = dict.fromkeys(metric for _, metric in group.sums)
        of_others = group.stratum.startswith(HARNESS)
        for metric in (m for m in metrics if of_others or is_judged(m) or m in SURPRISE):
            for treatment, control in pairs:
                if (treatment, metric) in group.sums and (control, metric) in group.sums:
                    found.append(
                        _contrast(group, metric, treatment, control, margin=margin, num_draws=num_bootstrap, seed=seed)
                    )
    family = [i for i, unjudged in enumerate(found) if unjudged.contrast.primary]
    together = adjusted([(found[i].contrast.p_value, found[i].p_equivalence) for i in family])
    by_holm = dict(zip(family, together, strict=True))
    return [_judged(unjudged, by_holm=by_holm.get(i), family_size=len(family)) for i, unjudged in enumerate(found)]


@dataclass(frozen=True)
class _Unjudged:
    """A paired difference on its way to a verdict."""

    contrast: Contrast
    standard_error: float
    p_equivalence: float
    worst: float  # difference on a document that was not asked about
    both_fail: bool


def _contrast(
    group: Measured, metric: str, treatment: str, control: str, *, margin: float, num_draws: int, seed: int
) -> _Unjudged:
    by_document = group.sums[treatment, metric] - group.sums[control, metric]
    draws = group.draws[treatment, metric] - group.draws[control, metric]
    worst = 1.0 - LEAST.get(metric, 0.0)
    bounds = (-worst, worst)
    if metric in SURPRISE:
        # A difference in bits has no scale of its own: it is held against the control's figure.
        margin *= group.mean(control, metric)
        bounds = bounds_asked(by_document, group.weights)
        worst = worst_difference(by_document, group.weights, margin=margin)
    spread = draws.interval(*bounds)
    floor = max(FLOOR, *_knowing_nothing(group, metric))
    contrast = Contrast(
        metric=metric,
        treatment=treatment,
        control=control,
        difference=group.mean(treatment, metric) - group.mean(control, metric),
        low=spread.low,
        high=spread.high,
        p_value=sign_flip_p(by_document, num_draws=num_draws, seed=seed),
        num_items=group.num_items,
        verdict="undecided",
        stratum=group.stratum,
        num_documents=group.num_documents,
        primary=metric == PRIMARY_METRIC,
        margin=margin,
        floor=floor,
    )
    best = max(group.mean(treatment, metric), group.mean(control, metric))
    return _Unjudged(
        contrast,
        spread.standard_error,
        draws.equivalence_p(margin=margin, worst=worst),
        worst,
        both_fail=metric not in SURPRISE and best <= floor,
    )


def _knowing_nothing(group: Measured, metric: str) -> tuple[float, ...]:
    """What the baselines score; nothing where silence is the right answer."""
    if group.stratum == UNANSWERABLE:
        return (0.0,)
    return (0.0, *(group.mean(name, metric) for name in KNOWING_NOTHING if (name, metric) in group.sums))


def _judged(unjudged: _Unjudged, *, by_holm: tuple[float, float] | None, family_size: int) -> Contrast:
    """The contrast with its verdict; two systems that both fail stay undecided, and more of the same would not help."""
    contrast = unjudged.contrast
    p_value, p_equivalence = by_holm or (contrast.p_value, unjudged.p_equivalence)
    contrast = replace(contrast, p_holm=p_value if by_holm else None, p_equivalence=p_equivalence)
    if unjudged.both_fail:
        return contrast
    verdict = decide(
        difference=contrast.difference,
        low=contrast.low,
        high=contrast.high,
        p_value=p_value,
        p_equivalence=p_equivalence,
        margin=contrast.margin,
        num_documents=contrast.num_documents,
        higher_is_better=contrast.metric not in SURPRISE,
    )
    num_more = None
    if verdict == "undecided":
        num_more = num_more_needed(
            difference=contrast.difference,
            standard_error=unjudged.standard_error,
            margin=contrast.margin,
            num_items=contrast.num_items,
            num_documents=contrast.num_documents,
            num_contrasts=family_size if contrast.primary else 1,
            worst=unjudged.worst,
        )
    return replace(contrast, verdict=verdict, num_more=num_more)


def withheld(contrasts: Sequence[Contrast], scores: Sequence[Score], *, num_passages: int) -> list[Contrast]:
    """The contrasts, without a verdict against retrieval where it was too weak a rival to lose to."""
    found = [s for s in scores if s.system == RETRIEVER and s.metric == f"recall@{num_passages} (passage)"]
    if not found or found[0].mean >= RECALL_BAR:
        return list(contrasts)
    shown = f"{found[0].mean:.0%} of the questions and not {RECALL_BAR:.0%}"
    why = f"retrieval was weak, it showed the right passage for {shown}"
    return [
        replace(c, verdict="undecided", withheld=why)
        if (c.treatment, c.control) == AGAINST_RETRIEVAL and c.verdict == "better"
        else c
        for c in contrasts
    ]
