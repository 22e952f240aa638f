"""Cuts a span of text into pieces of at most so many tokens, at the coarsest boundaries that do it.

Pieces are spans of the text, never re-joined strings, so a chunk always stands in its document word for word.
"""

import re
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
    document: Document, spans: Iterable[Span], *, recipe: str, max_tokens: int, count_tokens: CountTokens
) -> list[Chunk]:
    """Chunks of the spans, in order; a span that is too long becomes several, numbered in `metadata["part"]`."""
    boundaries = CODE if document.language else PROSE
    chunks: list[Chunk] = []
    for span in spans:
        pieces = split_span(
            document.text, span.start, span.end, max_tokens=max_tokens, count_tokens=count_tokens, boundaries=boundaries
        )
        for part, (start, end, num_tokens) in enumerate(pieces, start=1):
            parts = {"part": str(part), "parts": str(len(pieces))} if len(pieces) > 1 else {}
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
) -> list[tuple[int, int, int]]:
    """(start, end, tokens) of pieces of text[start:end], blank edges trimmed.

    Each piece holds at most `max_tokens` tokens; only a single character that is more than that by itself exceeds it.
    """
    start, end = trim(text, start, end)
    if start >= end:
        return []
    if end - start <= MAX_CHARACTERS_PER_TOKEN * max_tokens:
        num_tokens = count_tokens(text[start:end])
        if num_tokens <= max_tokens or end - start == 1:
            return [(start, end, num_tokens)]
    for i, boundary in enumerate(boundaries):
        cuts = _cut(text, start, end, boundary)
        if len(cuts) > 1:
            pieces = [
                piece
                for a, b in cuts
                for piece in split_span(
                    text, a, b, max_tokens=max_tokens, count_tokens=count_tokens, boundaries=boundaries[i:]
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


def _cut(text: str, start: int, end: int, boundary: re.Pattern[str]) -> list[tuple[int, int]]:
    """Spans between the boundaries inside a span."""
    cuts: list[tuple[int, int]] = []
    position = start
    for match in boundary.finditer(text, start, end):
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
