"""How many questions each passage of a document gets: by its length, never by its place in the document."""

from collections.abc import Sequence

from ray_ft.rows import Chunk


def allot(chunks: Sequence[Chunk], *, per_chunk: int, full_tokens: int, limit: int | None = None) -> list[int]:
    """Questions for each passage: `per_chunk` for one of `full_tokens`, fewer for shorter ones, at least one.

    With a `limit` that binds, as many points as questions lie evenly spread over all tokens, and a passage gets those
    that lie in it: a long document is covered to its end, and twice the text gets twice the questions.
    """
    wanted = [max(1, round(per_chunk * c.num_tokens / full_tokens)) for c in chunks]
    if limit is None or sum(wanted) <= limit:
        return wanted
    total = sum(c.num_tokens for c in chunks)
    counts: list[int] = []
    passed = 0
    for chunk in chunks:
        before, passed = passed, passed + chunk.num_tokens
        # Points at (i + 1/2) / limit of the tokens; those in [before, passed) are this passage's.
        counts.append(_points_below(passed, total, limit) - _points_below(before, total, limit))
    return counts


def _points_below(tokens: int, total: int, limit: int) -> int:
    return min(limit, max(0, -((-(2 * tokens * limit - total)) // (2 * total))))
