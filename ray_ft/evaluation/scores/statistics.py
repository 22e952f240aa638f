"""What differences between systems mean: paired bootstrap and sign-flip test over documents, Holm, verdicts; pure.

Questions about one document succeed and fail together, so documents are what is resampled (Miller 2024, arXiv
2411.00640, on clustered standard errors). A figure of a system is a ratio over documents, sum of `sums` / sum of
`weights`: score over questions, or bits over bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any

Verdict = Literal["better", "worse", "no meaningful difference", "undecided"]

ALPHA = 0.05
POWER = 0.8
MIN_DOCUMENTS = 6
"""Below this no sign-flip test can reach 5%: the smallest two-sided p over D documents is 2 / 2^D, 0.0625 for 5."""
OPTIMISTIC_DOCUMENTS = 20
"""Below this the bootstrap over documents gives intervals that are too narrow."""
CHUNK = 2_000_000
"""Draws times documents held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """A 95% percentile interval and the standard error behind it."""

    low: float
    high: float
    standard_error: float


def sum_by_document(values: Sequence[float], documents: Sequence[str]) -> "tuple[Floats, Floats]":
    """Sum and count of the values of each document, documents in sorted order."""
    import numpy as np

    _, index = np.unique(np.asarray(documents, dtype=object), return_inverse=True)
    sums: Floats = np.bincount(index, weights=np.asarray(values, dtype=float)).astype(np.float64)
    counts: Floats = np.bincount(index).astype(np.float64)
    return sums, counts


def bootstrap_ratios(sums: "Floats", weights: "Floats", *, num_draws: int, seed: int) -> "Floats":
    """Ratios [num_draws, K] of K columns [documents, K] when documents are drawn anew with replacement.

    All columns share each draw, so that the difference of two columns is the bootstrap of the paired difference.
    """
    import numpy as np

    num_documents = len(sums)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // num_documents)
    ratios = []
    for start in range(0, num_draws, rows):
        size = min(rows, num_draws - start)
        drawn = rng.integers(0, num_documents, size=(size, num_documents))
        drawn += np.arange(size)[:, None] * num_documents
        counts = np.bincount(drawn.ravel(), minlength=size * num_documents).reshape(size, num_documents).astype(float)
        ratios.append((counts @ sums) / (counts @ weights))
    return np.concatenate(ratios)


def interval(draws: "Floats") -> Interval:
    """The middle 95% of bootstrap draws."""
    import numpy as np

    low, high = np.quantile(draws, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(float(low), float(high), float(np.std(draws)))


def sign_flip_p(differences: "Floats", *, num_draws: int, seed: int) -> float:
    """Two-sided p of the sum of per-document differences when each document's sign is a coin toss.

    Exact over all 2^D sign patterns when there are no more than `num_draws` of them; else (1 + hits) / (1 + draws),
    which is never 0 (Phipson and Smyth 2010).
    """
    import numpy as np

    num_documents = len(differences)
    observed = abs(float(differences.sum())) * (1 - 1e-12)  # equal sums in another order of addition still count
    if observed == 0.0:
        return 1.0
    if 2**num_documents <= num_draws:
        patterns = (np.arange(2**num_documents)[:, None] >> np.arange(num_documents)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ differences) >= observed))
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // num_documents)
    hits = 0
    for start in range(0, num_draws, rows):
        signs = 1 - 2 * rng.integers(0, 2, size=(min(rows, num_draws - start), num_documents), dtype=np.int8)
        hits += int(np.sum(np.abs(signs @ differences) >= observed))
    return (1 + hits) / (1 + num_draws)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): the i-th smallest of m times m - i + 1, kept rising, capped at 1."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def decide(
    *, low: float, high: float, p_value: float, margin: float, num_documents: int, higher_is_better: bool = True
) -> Verdict:
    """The verdict on one difference.

    No meaningful difference: the interval lies within +-margin. Better or worse: it excludes 0 and p (adjusted where
    several contrasts are judged together) is at most 5%. Anything else is undecided.
    """
    if num_documents < MIN_DOCUMENTS:
        return "undecided"
    if -margin <= low and high <= margin:
        return "no meaningful difference"
    if p_value <= ALPHA and (low > 0 or high < 0):
        return "better" if (low > 0) == higher_is_better else "worse"
    return "undecided"


def num_more_needed(
    *,
    difference: float,
    standard_error: float,
    margin: float,
    num_items: int,
    num_documents: int,
    num_contrasts: int = 1,
) -> int:
    """About how many more items, from documents like these, would settle an undecided difference.

    n = num_items * ((z(1 - alpha / 2m) + z(power)) * standard_error / target)^2, at 80% power and the strictest of
    Holm's m levels; the target is the observed difference, but at least the margin, below which it does not matter.
    Never fewer than it takes for the sign-flip test to be able to reach that level at all.
    """
    alpha = ALPHA / num_contrasts
    target = max(abs(difference), margin, 1e-9)
    z = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(POWER)
    needed = num_items * (z * standard_error / target) ** 2
    fewest_documents = math.ceil(1 + math.log2(1 / alpha))  # 2 / 2^D <= alpha
    needed = max(needed, num_items / num_documents * fewest_documents)
    return max(1, math.ceil(needed) - num_items)
