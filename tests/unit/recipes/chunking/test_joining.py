"""Where a section is parted: passages of one size, and none that begins in mid-thought where another cut would do."""

from itertools import combinations, pairwise
from random import Random

import pytest

from ray_ft.recipes.chunking.joining import PASSAGE, SMALL, TINY, Piece, best_parts, cut_cost
from ray_ft.recipes.chunking.pieces import PARAGRAPHS


def _parts(text: str, max_tokens: int) -> list[str]:
    pieces, start = [], 0
    for part in PARAGRAPHS.split(text):
        start = text.index(part, start)
        pieces.append((start, start := start + len(part), len(part.split())))
    return [text[run[0][0] : run[-1][1]] for run in best_parts(pieces, max_tokens, text)]


def _cost(before: str, after: str) -> float:
    text = f"{before}\n\n{after}"
    return cut_cost(text, (0, len(before), 1), (len(before) + 2, len(text), 1))


def test_the_rest_of_a_section_is_no_small_passage() -> None:
    # Two paragraphs of ten words and two of five: 10 + 10 + 5 fit into 28 with what parts them, and 5 would be left.
    ten, five = "The mate opens the ramp when the cars have come.", "It takes a full minute."
    assert [len(part.split()) for part in _parts(f"{ten}\n\n{ten}\n\n{five}\n\n{five}", 28)] == [10, 20]


def test_a_passage_does_not_begin_with_what_points_back_where_another_cut_does() -> None:
    five, six = "The ramp opens very slowly.", "This is why the mate waits."
    assert _parts(f"{five}\n\n{five}\n\n{six}", 12) == [five, f"{five}\n\n{six}"]
    assert _parts(f"{five}\n\n{five}\n\n{five}", 12) == [f"{five}\n\n{five}", five]


def _total(runs: list[list[Piece]], max_tokens: int, text: str) -> float:
    """What parts cost in all; those that do not fit are none."""
    sizes = [sum(n for _, _, n in run) + len(run) - 1 for run in runs]
    if any(size > max_tokens and len(run) > 1 for size, run in zip(sizes, runs, strict=True)):
        return float("inf")
    small = sum(TINY * max(0.0, 1 - size / max_tokens / SMALL) for size in sizes)
    return PASSAGE * len(runs) + small + sum(cut_cost(text, a[-1], b[0]) for a, b in pairwise(runs))


def test_no_other_parts_cost_less() -> None:
    chosen = Random(3)
    for _ in range(60):
        lines = [chosen.choice(["It opens.", "- It opens.", "This is so.", "The ways:"]) for _ in range(7)]
        text = "\n\n".join(lines)
        starts = [sum(len(line) + 2 for line in lines[:i]) for i in range(7)]
        pieces = [(a, a + len(line), chosen.randint(1, 9)) for a, line in zip(starts, lines, strict=True)]
        max_tokens = chosen.choice([4, 12, 20, 45])
        cuts = [[0, *places, 7] for n in range(7) for places in combinations(range(1, 7), n)]
        least = min(_total([pieces[a:b] for a, b in pairwise(places)], max_tokens, text) for places in cuts)
        assert _total(best_parts(pieces, max_tokens, text), max_tokens, text) == pytest.approx(least)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The ramp has two ways:", "- It opens."),
        ("ramp_open(ferry, bell)", "It opens the ramp."),
        ("Words.\n\n## Ramps", "It opens the ramp."),
        ("The ramp is opened so.", "```\nopen()\n```"),
        ("The ramp is opened so.", "    open()"),
        ("The ramp is opened.", "- It opens."),
        ("The ramp is opened with", "which the mate can close it."),
        ("- It opens.", "  - It opens slowly."),
        ("- -s", "- --slow: It opens slowly."),
        ("  It opens the ramp.", "  It closes it, too."),
        ("The ramp is opened.", "However, it is closed at night."),
    ],
)
def test_a_cut_costs_more_there_than_between_two_paragraphs(before: str, after: str) -> None:
    assert _cost(before, after) > 1 > _cost("The ramp is opened.", "The mate closes it.") == 0
