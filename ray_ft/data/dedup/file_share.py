"""How much of a large file is trained, where one file's share of the set is capped: by characters, which all know."""

from collections.abc import Mapping, Sequence

from ray_ft.data.dedup.containment import Placed
from ray_ft.data.dedup.heads import Head


def kept_shares(heads: Sequence[Head], placed: Sequence[Placed], max_share: float) -> Mapping[int, float]:
    """Of each file that has more than this share of all that is trained, how much of it is kept.

    Where there are too few files for the share, all are cut to the smallest.
    """
    trained = [i for i, p in enumerate(placed) if p.split == "train" and not p.reason and heads[i].is_usable]
    if max_share >= 1 or not trained:
        return {}
    most = most_characters([heads[i].size for i in trained], max_share)
    return {i: most / heads[i].size for i in trained if heads[i].is_file and heads[i].size > most}


def most_characters(sizes: Sequence[int], max_share: float) -> float:
    """The characters c of a file with c = max_share * sum(min(size, c)).

    With the k largest cut to c and the others whole, that is c = max_share * rest / (1 - k * max_share).
    """
    ordered = sorted(sizes, reverse=True)
    rest = float(sum(ordered))
    for num_cut, size in enumerate(ordered):
        if num_cut * max_share >= 1:
            break
        most = max_share * rest / (1 - num_cut * max_share)
        if size <= most:
            return most
        rest -= size
    return float(ordered[-1])
