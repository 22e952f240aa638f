"""Cuts a span of text into pieces of at most so many tokens, at the coarsest boundaries that do it.

Pieces are spans of the text, never re-joined strings, so a chunk always stands in its document word for word.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

from ray_ft.recipes.chunking.joining import best_parts
from ray_ft.rows import CountTokens, Document

PARAGRAPHS = re.compile(r"\n(?:[ \t]*\n)+")
ITEMS = re.compile(r"\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)]|#\.)[ \t])")
LINES = re.compile(r"\n")
SENTENCES = re.compile(r"(?<=[.!?])[\"')\]]*\s+")
UNSPACED_SENTENCES = re.compile(r"(?<=[。！？｡។။])")
WORDS = re.compile(r"\s+")
PROSE = (PARAGRAPHS, ITEMS, LINES, SENTENCES, UNSPACED_SENTENCES, WORDS)
WRAPPED = (SENTENCES, UNSPACED_SENTENCES, WORDS)  # of a paragraph whose lines end anywhere
CODE = tuple(
    re.compile(p)
    for p in (
        r"(?<=\S)(?:[^\S\n]*+\n){2,}+(?=\S)",  # top-level statements set apart by blank lines
        r"\n(?:[ \t]*+\n)++",  # blank lines
        r"\n(?=.)|\n",  # lines
        r"\s+",
    )
)
ENDS_CLOSED = (".", "!", "?", "…", "。", "！", "？", "|", "```", "~~~", ";", ",")
MIN_WRAPPED, WRAP = 3, (45, 110)  # lines of a wrapped paragraph, and characters of one
MAX_CHARACTERS_PER_TOKEN = 32  # above this a span is cut without being counted: counting a whole file is the slow part
EDGES = 2  # tokens that a span may have more by itself than where it stands
SHORT = 2  # characters for each token allowed: a span that may well fit as it is, is counted at once

Count = Callable[[int, int], int]  # tokens of a span


def split_span(
    text: str,
    start: int,
    end: int,
    *,
    max_tokens: int,
    count_tokens: CountTokens,
    boundaries: Sequence[re.Pattern[str]] = PROSE,
    whole: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int, int]]:
    """(start, end, tokens) of pieces of text[start:end], blank edges trimmed.

    Each piece holds at most `max_tokens` tokens; only a single character that is more than that by itself exceeds it.
    Spans of `whole`, such as tables, are cut only where they do not fit. A counter that knows where the tokens of the
    whole text begin steers the cuts, and only what comes out is counted by itself: the two differ at the edges alone.
    """

    exactly, about = exact_counter(text, count_tokens), span_counter(text, count_tokens)
    if end - start <= SHORT * max_tokens:
        about = exactly
    pieces: list[tuple[int, int, int]] = []
    for a, b, _ in cut_span(text, start, end, max_tokens, about, boundaries, whole):
        num_tokens = exactly(a, b)
        fits = num_tokens <= max_tokens or b - a == 1
        pieces += [(a, b, num_tokens)] if fits else cut_span(text, a, b, max_tokens, exactly, boundaries, whole)
    return pieces


def exact_counter(text: str, count_tokens: CountTokens) -> Count:
    """Tokens of a span of the text by itself.

    A counter that has the text's own tokens has a method `exactly(text, start, end)`, which needs few more.
    """
    exactly = getattr(count_tokens, "exactly", None)
    if exactly is None:
        return lambda start, end: count_tokens(text[start:end])
    return lambda start, end: int(exactly(text, start, end))


def span_counter(text: str, count_tokens: CountTokens) -> Count:
    """Tokens of a span of the text, or a few more, by where tokens begin in all of it; exactly, if nobody knows that.

    A counter that knows has a method `about(text, start, end)`.
    """
    about = getattr(count_tokens, "about", None)
    if about is None:
        return exact_counter(text, count_tokens)
    return lambda start, end: int(about(text, start, end)) + EDGES


def cut_span(
    text: str,
    start: int,
    end: int,
    max_tokens: int,
    count: Count,
    boundaries: Sequence[re.Pattern[str]],
    whole: Sequence[tuple[int, int]],
) -> list[tuple[int, int, int]]:
    """`split_span`, by one way to count the tokens of a span."""
    start, end = trim(text, start, end)
    if start >= end:
        return []
    if end - start <= MAX_CHARACTERS_PER_TOKEN * max_tokens:
        num_tokens = count(start, end)
        if num_tokens <= max_tokens or end - start == 1:
            return [(start, end, num_tokens)]
    pieces = _smallest(text, start, end, max_tokens, count, boundaries, whole)
    if boundaries is CODE:
        return pieces
    return [p for run in best_parts(pieces, max_tokens, text) for p in _close(run, max_tokens, count)]


def _smallest(
    text: str,
    start: int,
    end: int,
    max_tokens: int,
    count: Count,
    boundaries: Sequence[re.Pattern[str]],
    whole: Sequence[tuple[int, int]],
) -> list[tuple[int, int, int]]:
    """Pieces of a span that does not fit, between the coarsest boundaries that each needs.

    Where only words are left to part, and in code, they are put together at once.
    """
    kept = [(a, b) for a, b in whole if start <= a < b <= end and (a, b) != (start, end)]
    kept = [(a, b) for a, b in kept if b - a <= MAX_CHARACTERS_PER_TOKEN * max_tokens]
    kept = [(a, b) for a, b in kept if count(a, b) <= max_tokens]
    for i, boundary in enumerate(boundaries):
        if boundary is LINES and _is_wrapped(text[start:end]):
            return _smallest(text, start, end, max_tokens, count, WRAPPED, kept)
        cuts = _cut(text, start, end, boundary, kept)
        if len(cuts) < 2:
            continue
        if boundary not in TEXTS:
            pieces = [p for a, b in cuts for p in cut_span(text, a, b, max_tokens, count, boundaries[i:], kept)]
            return _join(pieces, max_tokens, count)
        pieces = []
        for a, b in cuts:
            a, b = trim(text, a, b)
            fits = a < b and b - a <= MAX_CHARACTERS_PER_TOKEN * max_tokens and (n := count(a, b)) <= max_tokens
            if a < b:
                pieces += [(a, b, n)] if fits else _smallest(text, a, b, max_tokens, count, boundaries[i:], kept)
        return pieces
    return _by_characters(start, end, max_tokens, count)


def _is_wrapped(text: str) -> bool:
    """Whether a paragraph's lines end where the page was full, as in mails and in sources of documentation."""
    lines = text.split("\n")[:-1]
    if len(lines) < MIN_WRAPPED or " | " in text:
        return False
    full = sum(WRAP[0] <= len(line) <= WRAP[1] and not line.endswith(ENDS_CLOSED) for line in lines)
    return 2 * full > len(lines)


TEXTS = frozenset({PARAGRAPHS, ITEMS, LINES, SENTENCES, UNSPACED_SENTENCES})
"""Boundaries between pieces that say something, which are put together as they are read best."""


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without blank lines at its edges; the indentation of its first line stays when the span begins there."""
    while end > start and text[end - 1].isspace():  # mostly one newline: slices would copy all of the span
        end -= 1
    content = start
    while content < end and text[content].isspace():
        content += 1
    if content == start:
        return start, end
    line = text.rfind("\n", 0, content) + 1
    return (max(start, line) if max(start, line) == line else content), end


def blocks_to_keep(document: Document) -> list[tuple[int, int]]:
    """Spans of the tables and code blocks of a document."""
    return [(b.start, b.end) for b in document.blocks if b.type in ("table", "code")]


def overlap_start(text: str, first: int, start: int, *, max_tokens: int, count_tokens: CountTokens) -> int:
    """Where a repetition of the end of text[first:start] begins that holds at most `max_tokens`; `start` for none.

    The coarsest boundary that lies near enough is taken: a paragraph's before a sentence's before a word's.
    """
    nearest = max(first, start - MAX_CHARACTERS_PER_TOKEN * max_tokens)
    exactly = exact_counter(text, count_tokens)
    for boundary in PROSE:
        places = [m.end() for m in boundary.finditer(text, nearest, start) if m.end() < start]
        low, high = 0, len(places)  # later places leave fewer tokens
        while low < high:
            middle = (low + high) // 2
            if exactly(places[middle], start) <= max_tokens:
                high = middle
            else:
                low = middle + 1
        if low < len(places):
            return places[low]
    return start


def _cut(
    text: str, start: int, end: int, boundary: re.Pattern[str], kept: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Spans between the boundaries inside a span, but for those inside what is kept whole."""
    cuts: list[tuple[int, int]] = []
    position = start
    starts = [a for a, _ in kept]
    for match in boundary.finditer(text, start, end):
        inside = bisect_right(starts, match.start()) - 1
        if inside >= 0 and match.start() < kept[inside][1]:
            continue
        if match.start() > position:
            cuts.append((position, match.start()))
        position = match.end()
    if position < end:
        cuts.append((position, end))
    return cuts


def _join(pieces: list[tuple[int, int, int]], max_tokens: int, count: Count) -> list[tuple[int, int, int]]:
    """Neighbours put together while they fit: sums steer, and a count corrects them before a piece is closed."""
    joined: list[tuple[int, int, int]] = []
    run: list[tuple[int, int, int]] = []
    total = 0
    for piece in pieces:
        if run and total + piece[2] > max_tokens:
            total = 1 + count(run[0][0], run[-1][1])
            if total + piece[2] > max_tokens:
                joined += _close(run, max_tokens, count)
                run, total = [], 0
        run.append(piece)
        total += piece[2] + 1  # what separates two pieces costs about a token; between words it costs none
    return joined + _close(run, max_tokens, count)


def _close(run: list[tuple[int, int, int]], max_tokens: int, count: Count) -> list[tuple[int, int, int]]:
    if len(run) <= 1:
        return run
    num_tokens = count(run[0][0], run[-1][1])
    if num_tokens <= max_tokens:
        return [(run[0][0], run[-1][1], num_tokens)]
    half = len(run) // 2
    return _close(run[:half], max_tokens, count) + _close(run[half:], max_tokens, count)


def _by_characters(start: int, end: int, max_tokens: int, count: Count) -> list[tuple[int, int, int]]:
    """One word that is too long by itself (a key, base64): short pieces, halved until they fit, then put together.

    Counting long prefixes to find the best cut would be slow: tokenizers take more than linear time for long words.
    """
    pieces: list[tuple[int, int, int]] = []
    while start < end:
        size = min(max_tokens, end - start)
        while (num_tokens := count(start, start + size)) > max_tokens and size > 1:
            size //= 2
        pieces.append((start, start + size, num_tokens))
        start += size
    return _join(pieces, max_tokens, count)
