"""Where a section is best parted: its pieces are put together so that few passages are small or begin in mid-thought.

What a cut costs is read from the shapes of the two pieces beside it alone. Whether a passage is worth an example is
decided in worth.py.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise, takewhile

Piece = tuple[int, int, int]
"""Start, end and tokens of a span of the text."""

ENDS_OPEN = (":", "：")
ENDS_CLOSED = (".", "!", "?", "…", "。", "！", "？", "|", "```", "~~~", ";", ",")
BEGINS_OTHERWISE = re.compile(r"[ \t]*(?:[-*+•|>]|\d{1,3}[.)])(?:[ \t]|$)|```|~~~")
MAX_TERM = 160  # characters of a line by itself that names what follows: a term, a function with its arguments
ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]|#\.)[ \t]")
NAME_ALONE = re.compile(r"[ \t]*[-*+•] [^\s:]+:?")
HEADING = re.compile(r"#{1,6} [^\n]*|[^\n]+\n([=\-~^\"'*+])\1{2,}")
UNDERLINES = tuple("=-~^\"'*+")  # one of them ends a heading that has a rule below
FENCED = ("```", "~~~")
LISTED = re.compile(r"(?: {4}|\t)[ \t]*+(?:[^\n]*[=(){};<>\[\]|$]|import )")
SAYS_LESS = re.compile(  # words that point at what was said before
    r"(?:this|these|those|that|it|its|they|their|such|both|however|but|also|thus|therefore|then|so|otherwise|instead"
    r"|likewise|similarly|conversely|again|finally|and|or|hence|here|in (?:this|that|these|those|such|addition|either)"
    r"|for (?:example|instance|this|these)|as (?:a result|above|before)|the (?:above|latter|former|same|following))\b",
    re.IGNORECASE,
)
LEAD, MID_SENTENCE, LISTING, LIST, POINTS_BACK, ROW, NESTED, SENTENCE, BEHIND, ITEMS = (
    5.0, 4.0, 2.5, 2.0, 1.5, 1.0, 1.2, 0.6, 0.5, 0.3,
)  # fmt: skip
PASSAGE = 1.0  # what one more passage costs
SMALL, TINY = 0.45, 2.5  # share of the budget below which a passage is small, and what an empty one would cost


def best_parts(pieces: Sequence[Piece], max_tokens: int, text: str) -> list[list[Piece]]:
    """Runs of neighbours, each within `max_tokens` by the sum of theirs, that cost least in all; of equals, long first.

    Takes time in the number of pieces times those that make a small passage, and hardly any for the others.
    """
    joints = [0.0, *(cut_cost(text, a, b) for a, b in pairwise(pieces)), 0.0]
    tokens = [0, *accumulate(n + 1 for _, _, n in pieces)]  # in front of each piece
    small = _costs_of_small(max_tokens)
    least = [0.0] * (len(pieces) + 1)  # of the pieces from here on
    behind_large = [PASSAGE] * (len(pieces) + 1)  # what a passage that is not small costs with all behind
    ends = [0] * len(pieces)
    for first in range(len(pieces) - 1, -1, -1):
        before = tokens[first] + 1  # nothing stands in front of the first
        stop = max(first + 2, bisect_right(tokens, max_tokens + before))
        large = min(stop, max(first + 1, bisect_right(tokens, len(small) - 1 + before)))
        best = float("inf")
        for behind in range(first + 1, large):
            cost = small[tokens[behind] - before] + least[behind] + joints[behind]
            if cost <= best:
                best, ends[first] = cost, behind
        if large < stop and (cost := min(those := behind_large[large:stop])) <= best:
            best, ends[first] = cost, stop - 1 - those[::-1].index(cost)
        least[first] = best
        behind_large[first] = PASSAGE + best + joints[first]
    runs, first = [], 0
    while first < len(pieces):
        runs.append(list(pieces[first : ends[first]]))
        first = ends[first]
    return runs


def cut_cost(text: str, before: Piece, after: Piece) -> float:
    """What it costs to part two neighbours: much behind what leads in, little between paragraphs that stand alone."""
    a, b = text[before[0] : before[1]].strip("\n"), text[after[0] : after[1]].strip("\n")
    if leads_in(a.strip(), b.strip()) or _ends_in_heading(a):
        return LEAD
    is_item = ITEM.match(b) is not None
    cost = 0.0 if is_item or "\n\n" in text[before[1] : after[0] + 1] else SENTENCE
    if is_listing(b):
        return cost + (SENTENCE if is_listing(a) else LISTING)
    if " | " in b.partition("\n")[0]:
        return cost + (ROW if " | " in a.rpartition("\n")[2] else LIST)
    if is_item:
        if not ITEM.match(a):
            return cost + LIST
        if NAME_ALONE.fullmatch(a.rpartition("\n")[2]):
            return cost + LEAD  # two names for one thing: `- -s`, `- --strip`
        return cost + (NESTED if _indent(b) > _indent(a) else ITEMS)
    if b[:1].isspace():  # a paragraph of an item, or below a term
        return cost + (LIST if _indent(b) > _indent(a) or ITEM.match(a) else POINTS_BACK)
    if (b[:1].islower() and b[:1].isascii()) and not a.endswith(ENDS_CLOSED[:7]):
        return cost + MID_SENTENCE
    if is_listing(a):
        cost += BEHIND
    return cost + (POINTS_BACK if SAYS_LESS.match(b) else 0.0)


def _ends_in_heading(piece: str) -> bool:
    last = piece.rpartition("\n\n")[2].strip()
    may_be = last.startswith("#") or last.endswith(UNDERLINES)
    return may_be and HEADING.fullmatch(last) is not None


def leads_in(text: str, following: str) -> bool:
    """Whether a paragraph ends as a lead does, or is a term or a title above what explains it."""
    return text.endswith(ENDS_OPEN) or (is_term(text) and not is_term(following))


def is_term(text: str) -> bool:
    """Whether a piece is a line by itself that names what follows it."""
    return (
        len(text) <= MAX_TERM
        and "\n" not in text
        and not text.endswith(ENDS_CLOSED)
        and BEGINS_OTHERWISE.match(text) is None
    )


def is_listing(piece: str) -> bool:
    """Whether a piece of a document is a listing, by its fence or its indentation."""
    return piece.lstrip().startswith(FENCED) or (LISTED.match(piece) is not None and not ITEM.match(piece))


@lru_cache(maxsize=16)
def _costs_of_small(max_tokens: int) -> tuple[float, ...]:
    """What a passage costs by its number of tokens, up to those that are not small."""
    costs = (PASSAGE + TINY * max(0.0, 1.0 - total / max_tokens / SMALL) for total in range(max_tokens + 1))
    return tuple(takewhile(lambda cost: cost > PASSAGE, costs))


def _indent(piece: str) -> int:
    return len(piece) - len(piece.lstrip(" "))
