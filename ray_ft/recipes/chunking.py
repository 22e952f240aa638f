"""Cuts a span of text into pieces of at most so many tokens, at the coarsest boundaries that do it.

Pieces are spans of the text, never re-joined strings, so a chunk always stands in its document word for word.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ray_ft.rows import Chunk, CountTokens, Document

PROSE = tuple(
    re.compile(p)
    for p in (
        r"\n(?:[ \t]*\n)+",  # paragraphs
        r"\n",  # lines
        r"(?<=[.!?])[\"')\]]*\s+",  # sentences
        r"(?<=[。！？])",  # sentences of scripts without spaces
        r"\s+",  # words
    )
)
CODE = tuple(
    re.compile(p)
    for p in (
        r"\n(?:[ \t]*\n)+(?=\S)",  # top-level statements set apart by blank lines
        r"\n(?:[ \t]*\n)+",  # blank lines
        r"\n",
        r"\s+",
    )
)
MAX_CHARACTERS_PER_TOKEN = 32  # above this a span is cut without being counted: counting a whole file is the slow part


@dataclass(frozen=True)
class Span:
    """A stretch of a document that wants to be a chunk."""

    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def make_chunks(
    document: Document,
    spans: Iterable[Span],
    *,
    recipe: str,
    max_tokens: int,
    count_tokens: CountTokens,
    overlap_tokens: int = 0,
) -> list[Chunk]:
    """Chunks of the spans, in order; a span that is too long becomes several, numbered in `metadata["part"]`.

    Each of these begins with up to `overlap_tokens` of the one before; how many characters says `metadata["overlap"]`.
    """
    boundaries, whole = (CODE, []) if document.language else (PROSE, blocks_to_keep(document))
    chunks: list[Chunk] = []
    for span in spans:
        pieces = split_span(
            document.text, span.start, span.end,
            max_tokens=max_tokens, count_tokens=count_tokens, boundaries=boundaries, whole=whole,
        )  # fmt: skip
        if len(pieces) > 1 and overlap_tokens:
            pieces = split_span(
                document.text, span.start, span.end,
                max_tokens=max_tokens - overlap_tokens, count_tokens=count_tokens, boundaries=boundaries, whole=whole,
            )  # fmt: skip
        previous = -1
        for part, (start, end, num_tokens) in enumerate(pieces, start=1):
            parts = {"part": str(part), "parts": str(len(pieces))} if len(pieces) > 1 else {}
            if part > 1 and overlap_tokens:
                first = pieces[part - 2][0]
                begin = overlap_start(document.text, first, start, max_tokens=overlap_tokens, count_tokens=count_tokens)
                if begin < previous and (total := count_tokens(document.text[begin:end])) <= max_tokens:
                    start, num_tokens = begin, total
                    parts["overlap"] = str(previous - begin)
            previous = end
            chunks.append(
                Chunk(
                    id=f"{document.id}#{recipe}-{len(chunks)}",
                    document_id=document.id,
                    text=document.text[start:end],
                    num_tokens=num_tokens,
                    heading_path=span.heading_path,
                    start=start,
                    end=end,
                    metadata={"path": document.path, **span.metadata, **parts},
                )
            )
    return chunks


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
    Spans of `whole`, such as tables, are cut only where they do not fit.
    """
    start, end = trim(text, start, end)
    if start >= end:
        return []
    if end - start <= MAX_CHARACTERS_PER_TOKEN * max_tokens:
        num_tokens = count_tokens(text[start:end])
        if num_tokens <= max_tokens or end - start == 1:
            return [(start, end, num_tokens)]
    kept = [(a, b) for a, b in whole if start <= a < b <= end and (a, b) != (start, end)]
    kept = [(a, b) for a, b in kept if b - a <= MAX_CHARACTERS_PER_TOKEN * max_tokens]
    kept = [(a, b) for a, b in kept if count_tokens(text[a:b]) <= max_tokens]
    for i, boundary in enumerate(boundaries):
        cuts = _cut(text, start, end, boundary, kept)
        if len(cuts) > 1:
            pieces = [
                piece
                for a, b in cuts
                for piece in split_span(
                    text, a, b, max_tokens=max_tokens, count_tokens=count_tokens, boundaries=boundaries[i:], whole=kept
                )
            ]
            return _join(text, pieces, max_tokens, count_tokens)
    return _by_characters(text, start, end, max_tokens, count_tokens)


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without blank lines at its edges; the indentation of its first line stays when the span begins there."""
    end = start + len(text[start:end].rstrip())
    body = text[start:end]
    content = start + len(body) - len(body.lstrip())
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
    for boundary in PROSE:
        places = [m.end() for m in boundary.finditer(text, nearest, start) if m.end() < start]
        low, high = 0, len(places)  # later places leave fewer tokens
        while low < high:
            middle = (low + high) // 2
            if count_tokens(text[places[middle] : start]) <= max_tokens:
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


def _join(
    text: str, pieces: list[tuple[int, int, int]], max_tokens: int, count_tokens: CountTokens
) -> list[tuple[int, int, int]]:
    """Neighbours put together while they fit: sums steer, and a count corrects them before a piece is closed."""
    joined: list[tuple[int, int, int]] = []
    run: list[tuple[int, int, int]] = []
    total = 0
    for piece in pieces:
        if run and total + piece[2] > max_tokens:
            total = 1 + count_tokens(text[run[0][0] : run[-1][1]])
            if total + piece[2] > max_tokens:
                joined += _close(text, run, max_tokens, count_tokens)
                run, total = [], 0
        run.append(piece)
        total += piece[2] + 1  # what separates two pieces costs about a token; between words it costs none
    return joined + _close(text, run, max_tokens, count_tokens)


def _close(
    text: str, run: list[tuple[int, int, int]], max_tokens: int, count_tokens: CountTokens
) -> list[tuple[int, int, int]]:
    if len(run) <= 1:
        return run
    num_tokens = count_tokens(text[run[0][0] : run[-1][1]])
    if num_tokens <= max_tokens:
        return [(run[0][0], run[-1][1], num_tokens)]
    half = len(run) // 2
    return _close(text, run[:half], max_tokens, count_tokens) + _close(text, run[half:], max_tokens, count_tokens)


def _by_characters(
    text: str, start: int, end: int, max_tokens: int, count_tokens: CountTokens
) -> list[tuple[int, int, int]]:
    """One word that is too long by itself (a key, base64): short pieces, halved until they fit, then put together.

    Counting long prefixes to find the best cut would be slow: tokenizers take more than linear time for long words.
    """
    pieces: list[tuple[int, int, int]] = []
    while start < end:
        size = min(max_tokens, end - start)
        while (num_tokens := count_tokens(text[start : start + size])) > max_tokens and size > 1:
            size //= 2
        pieces.append((start, start + size, num_tokens))
        start += size
    return _join(text, pieces, max_tokens, count_tokens)
