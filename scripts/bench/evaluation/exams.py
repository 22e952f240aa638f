"""Exams whose truth is known: two systems on documents with correlated questions, and what the verdicts say of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ray_ft.evaluation.scores.statistics import (
    Verdict,
    adjusted,
    bootstrap_ratios,
    decide,
    fewest_documents,
    sign_flip_p,
)

DOCUMENTS = (6, 10, 20, 30, 50, 100, 200)
QUESTIONS = ((1, 0.0), (5, 0.5), (5, 1.0))
"""Questions of a document, and how alike they are: 1 is the same answer to all of them."""
TRUTHS = ((0.02, 0.0), (0.02, 0.02), (0.02, 0.05), (0.02, -0.05), (0.1, 0.0), (0.1, 0.1), (0.1, 0.3))
"""Margin and true gain."""
DISCORDANCES = (None, 0.2, 0.4)
"""Share of questions on which the systems differ; None is the least that the gain allows, all of them one way."""
FAMILY = 6
POWER_MARGINS = (0.02, 0.05, 0.1)
POWER_DISCORDANCES = (0.0, 0.05, 0.1, 0.2, 0.3)
MOST_DOCUMENTS = 20_000


@dataclass(frozen=True)
class Truth:
    """How documents and questions are drawn."""

    margin: float
    gain: float
    discordance: float
    questions: int
    correlation: float

    def exams(self, num_documents: int, num_exams: int, rng: np.random.Generator) -> Any:
        """Differences summed by document, [documents, exams]: each question follows its document's lot or its own."""
        shape = (num_documents, self.questions, num_exams)
        follows = rng.random(shape) < self.correlation**0.5
        lot = np.where(follows, rng.random((num_documents, 1, num_exams)), rng.random(shape))
        gained = lot < (self.discordance + self.gain) / 2
        lost = ~gained & (lot < self.discordance)
        return (gained.astype(float) - lost).sum(axis=1)


@dataclass(frozen=True)
class Judged:
    """What the statistics say of one exam."""

    difference: float
    low: float
    high: float
    p_value: float
    p_equivalence: float


def judge(sums: Any, truth: Truth, *, num_draws: int, seed: int) -> list[Judged]:
    """As `ray-ft evaluate` has it, for each column of sums; the columns share their draws."""
    found = []
    for i, draws in enumerate(
        bootstrap_ratios(sums, np.full(len(sums), float(truth.questions)), num_draws=num_draws, seed=seed)
    ):
        spread = draws.interval(-1.0, 1.0)
        found.append(
            Judged(
                float(sums[:, i].sum()),
                spread.low,
                spread.high,
                sign_flip_p(sums[:, i], num_draws=num_draws, seed=seed + i),
                draws.equivalence_p(margin=truth.margin, worst=1.0),
            )
        )
    return found


def verdict(judged: Judged, truth: Truth, num_documents: int, by_holm: tuple[float, float] | None = None) -> Verdict:
    p_value, p_equivalence = by_holm or (judged.p_value, judged.p_equivalence)
    return decide(
        difference=judged.difference, low=judged.low, high=judged.high, p_value=p_value, p_equivalence=p_equivalence,
        margin=truth.margin, num_documents=num_documents,
    )  # fmt: skip


def truths() -> Iterator[Truth]:
    for (margin, gain), discordance, (questions, correlation) in product(TRUTHS, DISCORDANCES, QUESTIONS):
        least = abs(gain) if discordance is None else discordance
        if least >= abs(gain):
            yield Truth(margin, gain, least, questions, correlation)


def verdict_rows(*, num_exams: int, num_draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each truth and number of documents, of exams with one comparison."""
    for number, (truth, documents) in enumerate(product(truths(), DOCUMENTS)):
        rng = np.random.default_rng([seed, number])
        found = judge(truth.exams(documents, num_exams, rng), truth, num_draws=num_draws, seed=seed + number)
        said = Counter(verdict(judged, truth, documents) for judged in found)
        yield {
            **truth.__dict__, "documents": documents, "exams": num_exams, "draws": num_draws, "seed": seed,
            **{name: said[name] for name in ("better", "worse", "no meaningful difference", "undecided")},
            "interval holds": sum(judged.low <= truth.gain <= judged.high for judged in found),
        }  # fmt: skip


def family_rows(*, num_exams: int, num_draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Exams of six comparisons judged together: with none gained, with all at the margin, and with half of each."""
    for number, (at_margin, documents) in enumerate(product((0, 3, 6), DOCUMENTS)):
        rng = np.random.default_rng([seed, 1, number])
        family = [Truth(0.1, 0.1 if i < at_margin else 0.0, 0.2, 5, 0.5) for i in range(FAMILY)]
        columns = [
            judge(t.exams(documents, num_exams, rng), t, num_draws=num_draws, seed=seed + FAMILY * number + i)
            for i, t in enumerate(family)
        ]
        wrong = 0
        for exam in zip(*columns, strict=True):
            together = adjusted([(judged.p_value, judged.p_equivalence) for judged in exam])
            said = [verdict(j, t, documents, p) for j, t, p in zip(exam, family, together, strict=True)]
            wrong += any(is_false(v, t) for v, t in zip(said, family, strict=True))
        yield {
            "documents": documents, "comparisons": FAMILY, "at the margin": at_margin, "exams": num_exams,
            "draws": num_draws, "seed": seed, "any verdict false": wrong,
        }  # fmt: skip


def is_false(said: Verdict, truth: Truth) -> bool:
    """A difference where there is none, the wrong way round, or none where it is as large as the margin."""
    if said == "no meaningful difference":
        return abs(truth.gain) >= truth.margin
    return (said == "better" and truth.gain <= 0) or (said == "worse" and truth.gain >= 0)


def power_rows(*, num_exams: int, num_draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Documents of one question that it takes for 80% of exams of equal systems to say so."""
    for margin, discordance in product(POWER_MARGINS, POWER_DISCORDANCES):
        truth = Truth(margin, 0.0, discordance, 1, 0.0)
        low = fewest_documents(margin) or 0
        high = low

        def share(documents: int, truth: Truth = truth) -> float:
            rng = np.random.default_rng([seed, 2, documents])
            sums = truth.exams(documents, num_exams, rng)
            draws = bootstrap_ratios(sums, np.ones(documents), num_draws=num_draws, seed=seed)
            spreads = [d.interval(-1.0, 1.0) for d in draws]
            return float(np.mean([-truth.margin <= s.low and s.high <= truth.margin for s in spreads]))

        while share(high) < 0.8 and high < MOST_DOCUMENTS:
            low, high = high, min(2 * high, MOST_DOCUMENTS)
        while high - low > max(1, 0.02 * high):
            middle = (low + high) // 2
            low, high = (low, middle) if share(middle) >= 0.8 else (middle, high)
        yield {
            "margin": margin, "discordance": discordance, "documents": high, "exams": num_exams,
            "draws": num_draws, "seed": seed,
        }  # fmt: skip
