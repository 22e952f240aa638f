"""Which differences between several settings are more than chance, though the best was picked after looking; pure.

A test of two systems alone is too kind here: of many equal settings, the best and the worst differ by chance alone.
Both tests below therefore ask how far apart the best and the worst of as many equal settings would come to lie (Tukey's
range). Over questions, whole documents change their sign; over seeds, variances may differ (Games and Howell 1976).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
else:
    Floats = Any

DRAWS = 200_000
"""A p of 5% is then off by 0.05 points of a hundred (one standard error)."""
CHUNK = 4_000_000  # numbers held in memory at once


def seeds_p(best: Sequence[float], other: Sequence[float], *, num_settings: int, seed: int) -> float:
    """Two-sided p of the difference of two settings' means over seeds, out of `num_settings` that were compared.

    q = |difference| / sqrt((s1^2 / n1 + s2^2 / n2) / 2) against the studentized range of `num_settings` normals, with
    Welch's degrees of freedom. One seed has no variance, so p is 1.
    """
    import numpy as np

    n1, n2 = len(best), len(other)
    difference = abs(float(np.mean(best)) - float(np.mean(other)))
    if min(n1, n2) < 2:
        return 1.0
    v1, v2 = float(np.var(best, ddof=1)) / n1, float(np.var(other, ddof=1)) / n2
    if v1 + v2 == 0.0:
        return 0.0 if difference > 0 else 1.0
    freedom = (v1 + v2) ** 2 / (v1**2 / (n1 - 1) + v2**2 / (n2 - 1))
    return studentized_range_p(
        difference / math.sqrt((v1 + v2) / 2), num_groups=num_settings, freedom=freedom, seed=seed
    )


def studentized_range_p(q: float, *, num_groups: int, freedom: float, seed: int) -> float:
    """P(range of `num_groups` standard normals / sqrt(chi2 / freedom) >= q), by simulation."""
    import numpy as np

    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // num_groups)
    hits = 0
    for start in range(0, DRAWS, rows):
        size = min(rows, DRAWS - start)
        spread = np.ptp(rng.standard_normal((size, num_groups)), axis=1)
        hits += int(np.sum(spread >= q * np.sqrt(rng.chisquare(freedom, size) / freedom)))
    return (1 + hits) / (1 + DRAWS)


def documents_p(scores: "Floats", *, num_draws: int, seed: int) -> "Floats":
    """Two-sided p [settings, settings] of all differences of column sums of `scores` [documents, settings].

    Under the null a document's scores differ by chance, so that mirroring them around their mean changes nothing; the
    largest difference over all pairs in each draw is what an observed difference must beat. With two settings this is
    the sign-flip test of evaluation.
    """
    import numpy as np

    centred = scores - scores.mean(axis=1, keepdims=True)
    totals = centred.sum(axis=0)
    observed = np.abs(totals[:, None] - totals[None, :]) * (1 - 1e-12)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(scores))
    largest = []
    for start in range(0, num_draws, rows):
        size = min(rows, num_draws - start)
        signs = 1 - 2 * rng.integers(0, 2, size=(size, len(scores)), dtype=np.int8)
        largest.append(np.ptp(signs @ centred, axis=1))
    ordered = np.sort(np.concatenate(largest))
    hits = num_draws - np.searchsorted(ordered, observed, side="left")
    p: Floats = np.where(observed == 0.0, 1.0, (1 + hits) / (1 + num_draws))
    return p
