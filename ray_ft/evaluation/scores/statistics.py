"""What differences between systems mean: paired bootstrap and sign-flip test over documents, Holm, verdicts; pure.

Questions about one document succeed and fail together, so documents are what is resampled (Miller 2024, arXiv
2411.00640, on clustered standard errors). A figure of a system is a ratio over documents, sum of `sums` / sum of
`weights`: score over questions, or bits over bytes.

What was asked does not show all there is: where six documents are answered alike, a seventh may not be. So every draw
has one more document, which nobody asked about, and a bound takes it at the worst that it can be. For scores of 0 and 1
this is Clopper and Pearson's interval, and for any scores within bounds that of Gaffke (2005; Learned-Miller and Thomas
2019, arXiv 1905.06208), which cannot shrink to a point.
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
FAR = 10
"""Margins by which two systems may differ on an unasked document, at the least, in a figure without bounds."""
CHUNK = 2_000_000
"""Draws times documents held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """A 95% interval and the standard error behind it."""

    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of one figure, and what the unasked document weighs in each: bounds add its worst value."""

    ratios: "Floats"  # [num_draws], with 0 for the unasked document
    unasked: "Floats"  # [num_draws], its share of all weights

    def __sub__(self, other: "Draws") -> "Draws":
        """The paired difference: both figures are of the same draws."""
        return Draws(self.ratios - other.ratios, self.unasked)

    def interval(self, worst: float, best: float) -> Interval:
        """The middle 95%, with the unasked document at either end of what its figure can be."""
        import numpy as np

        above = self.ratios + best * self.unasked
        low = np.quantile(self.ratios + worst * self.unasked, ALPHA / 2)
        return Interval(float(low), float(np.quantile(above, 1 - ALPHA / 2)), float(np.std(above)))

    def equivalence_p(self, *, margin: float, worst: float) -> float:
        """p of a difference of at least `margin` either way: the larger of two one-sided ones (Schuirmann 1987).

        `worst` is the most by which the systems can differ on the unasked document: 1 for shares.
        """
        import numpy as np

        above = np.sum(self.ratios + worst * self.unasked >= margin)
        below = np.sum(self.ratios - worst * self.unasked <= -margin)
        return float(1 + max(above, below)) / (1 + len(self.ratios))


def sum_by_document(values: Sequence[float], documents: Sequence[str]) -> "tuple[Floats, Floats]":
    """Sum and count of the values of each document, documents in sorted order."""
    import numpy as np

    _, index = np.unique(np.asarray(documents, dtype=object), return_inverse=True)
    sums: Floats = np.bincount(index, weights=np.asarray(values, dtype=float)).astype(np.float64)
    counts: Floats = np.bincount(index).astype(np.float64)
    return sums, counts


def bootstrap_ratios(sums: "Floats", weights: "Floats", *, num_draws: int, seed: int) -> list[Draws]:
    """Draws of K ratios from K columns of sums [documents, K] and one of weights [documents].

    The documents' shares are uniform over all that add up to 1 (the Bayesian bootstrap, Rubin 1981), with one for a
    document that was not asked about and weighs as much as the heaviest. All columns share each draw, so that the
    difference of two is the bootstrap of the paired difference.
    """
    import numpy as np

    num_documents = len(sums)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // num_documents)
    ratios, unasked = [], []
    for start in range(0, num_draws, rows):
        shares = rng.standard_exponential(size=(min(rows, num_draws - start), num_documents + 1))
        extra = shares[:, -1] * weights.max()
        total = shares[:, :-1] @ weights + extra
        ratios.append(shares[:, :-1] @ sums / total[:, None])
        unasked.append(extra / total)
    shared = np.concatenate(unasked)
    return [Draws(column, shared) for column in np.concatenate(ratios).T]


def bounds_asked(sums: "Floats", weights: "Floats") -> tuple[float, float]:
    """For a figure without bounds of its own: an unasked document is within those that were asked about."""
    ratios = sums / weights
    return float(ratios.min()), float(ratios.max())


def worst_difference(differences: "Floats", weights: "Floats", *, margin: float) -> float:
    """For such a figure, by how much two systems may differ on an unasked document: as on any other, or FAR margins."""
    return max(float(abs(differences / weights).max()), FAR * margin)


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


def adjusted(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Both p-values of every contrast, of no difference and of one that matters, for all verdicts together.

    Of these two hypotheses at most one is true, so a closed test (Marcus et al. 1976) of 2m hypotheses meets at most m
    at once: each is adjusted by Holm's method beside the larger p of every other contrast (Shaffer 1986).
    """
    largest = [max(pair) for pair in pairs]
    others = [[*largest[:i], *largest[i + 1 :]] for i in range(len(pairs))]
    return [(holm([p, *rest])[0], holm([q, *rest])[0]) for (p, q), rest in zip(pairs, others, strict=True)]


def decide(
    *,
    difference: float,
    low: float,
    high: float,
    p_value: float,
    p_equivalence: float,
    margin: float,
    num_documents: int,
    higher_is_better: bool = True,
) -> Verdict:
    """The verdict on one difference.

    No meaningful difference: the interval lies within +-margin, and the p of a difference beyond it is at most 5%.
    Better or worse: the p of no difference is at most 5%. Its test takes documents to be as likely to gain as to lose,
    so it may speak where the interval, which allows for any document nobody asked about, still reaches 0. Anything else
    is undecided. Both p are adjusted where several contrasts are judged together.
    """
    if num_documents < MIN_DOCUMENTS:
        return "undecided"
    if p_equivalence <= ALPHA and -margin <= low and high <= margin:
        return "no meaningful difference"
    if p_value <= ALPHA:
        return "better" if (difference > 0) == higher_is_better else "worse"
    return "undecided"


def fewest_documents(margin: float, *, worst: float = 1.0, num_contrasts: int = 1) -> int | None:
    """So many documents of equal answers it takes to show that a difference is below `margin`; None for no margin.

    D equal documents leave (1 - margin / worst)^D for the chance that the unasked ones bring the difference up to it.
    """
    if margin <= 0:
        return None
    if margin >= worst:
        return MIN_DOCUMENTS
    level = min(ALPHA / 2, ALPHA / num_contrasts)  # of the interval, and of the strictest adjusted p
    return max(MIN_DOCUMENTS, math.ceil(math.log(level) / math.log1p(-margin / worst)))


def num_more_needed(
    *,
    difference: float,
    standard_error: float,
    margin: float,
    num_items: int,
    num_documents: int,
    num_contrasts: int = 1,
    worst: float = 1.0,
) -> int:
    """About how many more items, from documents like these, would settle an undecided difference.

    n = num_items * ((z(1 - alpha / 2m) + z(power)) * standard_error / target)^2, at 80% power and the strictest of
    Holm's m levels; the target is the observed difference, but at least the margin, below which it does not matter.
    Never fewer than the sign-flip test needs to reach its level at all, or below the margin that of equivalence.
    """
    alpha = ALPHA / num_contrasts
    target = max(abs(difference), margin, 1e-9)
    z = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(POWER)
    needed = num_items * (z * standard_error / target) ** 2
    fewest = math.ceil(1 + math.log2(1 / alpha))  # 2 / 2^D <= alpha
    if abs(difference) < margin:
        fewest = max(fewest, fewest_documents(margin, worst=worst, num_contrasts=num_contrasts) or 0)
    needed = max(needed, num_items / num_documents * fewest)
    return max(1, math.ceil(needed) - num_items)
