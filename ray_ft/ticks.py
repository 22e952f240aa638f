"""Round numbers along an axis that begins at 0."""

import math


def round_steps(most: float, *, about: int) -> list[float]:
    """0 and round steps, `about` so many or a few more, the last at or beyond `most`, which is above 0."""
    rough = most / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(step * i, 12) for i in range(math.ceil(most / step - 1e-9) + 1)]
