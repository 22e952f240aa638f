"""Do the 95% intervals of one system's score hold the truth: by documents, questions of each, and rate."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from ray_ft.evaluation.scores.statistics import bootstrap_ratios

DOCUMENTS = (10, 20, 30, 50)
QUESTIONS = (1, 5, 20)
RATES = (0.05, 0.2, 0.5, 0.8, 0.95)
CORRELATION = 0.3
"""Of two questions about one document: 1 is the same answer to both."""


def coverage_rows(*, num_exams: int, num_draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each: rates of documents are beta-distributed about the truth (Williams 1975)."""
    for number, (documents, questions, rate) in enumerate(product(DOCUMENTS, QUESTIONS, RATES)):
        rng = np.random.default_rng([seed, 3, number])
        spread = (1 - CORRELATION) / CORRELATION
        rates = rng.beta(rate * spread, (1 - rate) * spread, size=(documents, num_exams))
        sums = rng.binomial(questions, rates).astype(float)
        weights = np.full(documents, float(questions))
        draws = bootstrap_ratios(sums, weights, num_draws=num_draws, seed=seed + number)
        spreads = [draw.interval(0.0, 1.0) for draw in draws]
        yield {
            "documents": documents, "questions": questions, "rate": rate, "correlation": CORRELATION,
            "exams": num_exams, "draws": num_draws, "seed": seed,
            "below": sum(rate < s.low for s in spreads), "above": sum(rate > s.high for s in spreads),
            "width": round(float(np.mean([s.high - s.low for s in spreads])), 4),
        }  # fmt: skip
