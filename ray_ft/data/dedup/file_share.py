"""How much of a large file is trained, where one file's share of the set is capped: by characters, which all know."""

from collections.abc import Mapping

import numpy as np

from ray_ft.data.dedup.columns import Columns, Flags, Numbers


def kept_shares(documents: Columns, trained: Flags, max_share: float) -> Mapping[int, float]:
    """Of each file that has more than this share of all that is trained, how much of it is kept.

    Where there are too few files for the share, all are cut to the smallest.
    """
    if max_share >= 1 or not trained.any():
        return {}
    most = most_characters(documents.size[trained], max_share)
    cut = np.flatnonzero(trained & documents.is_file & (documents.size > most))
    return {i: most / int(documents.size[i]) for i in cut.tolist()}


def most_characters(sizes: Numbers, max_share: float) -> float:
    """The characters c of a file with c = max_share * sum(min(size, c)).

    With the k largest cut to c and the others whole, that is c = max_share * rest / (1 - k * max_share).
    """
    ordered = np.sort(np.asarray(sizes, dtype=np.float64))[::-1]
    rest = float(ordered.sum())
    for num_cut, size in enumerate(ordered.tolist()):
        if num_cut * max_share >= 1:
            break
        most = max_share * rest / (1 - num_cut * max_share)
        if size <= most:
            return most
        rest -= size
    return float(ordered[-1])
