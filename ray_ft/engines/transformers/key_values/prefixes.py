"""Texts whose keys and values are held: what begins like one of them, for the same model and tenant, is not read again.

An answer that has ended leaves its keys and values where they are until others need the room.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ray_ft.engines.transformers.key_values.cache import KeyValueCache
from ray_ft.engines.transformers.rows import Row

SHORTEST = 32
"""Tokens that texts have in common before a copy pays."""
MAX_ENDED = 64
"""Answers that have ended and are remembered."""

Key = tuple[str | None, str, tuple[int, ...]]


@dataclass(eq=False)
class Ended:
    """What is left of an answer."""

    key: Key
    tokens: list[int]
    start: int

    @property
    def num_cached(self) -> int:
        """All of its tokens."""
        return len(self.tokens)


class Prefixes:
    """Knows who has read what; the engine's thread alone makes use of it."""

    def __init__(self, cache: KeyValueCache, *, max_bytes: int) -> None:
        """`max_bytes`: what keys and values of ended answers may take at most."""
        self._cache = cache
        self._max_places = max_bytes // cache.token_bytes
        self._texts: dict[Key, list[Row | Ended]] = {}
        self._ended: list[Ended] = []  # the one that was of use longest ago first
        self.num_reused = 0

    @property
    def num_places(self) -> int:
        """Places that are free as soon as somebody needs them."""
        return sum(text.num_cached for text in self._ended)

    def begin(self, row: Row) -> bool:
        """Give an answer its range, and its prompt to others; False while there is no room."""
        while (start := self._cache.take(row.num_places)) is None:
            if not self._ended:
                return False
            self._drop(self._ended[0])
        row.start = start
        if row.num_prompt_tokens > SHORTEST:
            self._texts.setdefault(_key(row), []).append(row)
        return True

    def end(self, row: Row) -> None:
        """Free an answer's range, but for what others may begin with."""
        kept = row.num_cached
        if row.num_prompt_tokens > SHORTEST:
            self._remove(_key(row), row)
        if kept <= SHORTEST or kept > self._max_places:
            self._cache.give_back(row.start, row.num_places)
            return
        if kept < row.num_places:
            self._cache.give_back(row.start + kept, row.num_places - kept)
        ended = Ended(_key(row), row.tokens[:kept], row.start)
        self._ended.append(ended)
        self._texts.setdefault(ended.key, []).append(ended)
        while len(self._ended) > MAX_ENDED or self.num_places > self._max_places:
            self._drop(self._ended[0])

    def forget(self, adapter: str) -> None:
        """An adapter has gone: another may come under its name."""
        for text in [text for text in self._ended if text.key[0] == adapter]:
            self._drop(text)

    def share(self, rows: Sequence[Row], *, room: int) -> list[Row]:
        """The rows to take a step with, those that are being read after a copy of what others have read.

        Left out are those that begin like one that is read just now: they are better off after it. `room` is how many
        tokens of prompts a pass reads.
        """
        chosen, reading = list[Row](), list[Row]()
        for row in rows:
            if row.num_cached == len(row.tokens) - 1:
                chosen.append(row)
                continue
            if room <= 0:
                continue
            if row.num_cached == 0 and row.num_prompt_tokens > SHORTEST:
                source, shared = self._longest(row)
                if any(_common(row, other) > max(shared, SHORTEST) for other in reading if _key(other) == _key(row)):
                    continue
                if source is not None:
                    self._copy(source, row, shared)
            reading.append(row)
            chosen.append(row)
            room -= len(row.tokens) - row.num_cached
        return chosen

    def _longest(self, row: Row) -> tuple[Row | Ended | None, int]:
        """Who has read most of a prompt, and how many tokens of it."""
        best: tuple[Row | Ended | None, int] = (None, SHORTEST)
        for text in self._texts.get(_key(row), ()):
            if text is not row and text.num_cached > best[1]:
                shared = min(_common(row, text), text.num_cached, len(row.tokens) - 1)
                if shared > best[1]:
                    best = (text, shared)
        return best if best[0] is not None else (None, 0)

    def _copy(self, source: Row | Ended, row: Row, shared: int) -> None:
        import torch

        with torch.inference_mode():
            for layer in self._cache.layers:
                for held in layer:
                    held[row.start : row.start + shared] = held[source.start : source.start + shared]
        row.num_cached = row.num_reused = shared
        self.num_reused += shared
        if isinstance(source, Ended):
            self._ended.remove(source)
            self._ended.append(source)

    def _drop(self, text: Ended) -> None:
        self._ended.remove(text)
        self._remove(text.key, text)
        self._cache.give_back(text.start, text.num_cached)

    def _remove(self, key: Key, text: Row | Ended) -> None:
        self._texts[key].remove(text)
        if not self._texts[key]:
            del self._texts[key]


def _key(row: Row) -> Key:
    """Texts of other keys have nothing in common: another model, tenant or beginning."""
    return row.request.adapter, row.request.tenant, tuple(row.tokens[:SHORTEST])


def _common(first: Row | Ended, second: Row | Ended) -> int:
    """Number of tokens that two texts begin with alike."""
    a, b = first.tokens, second.tokens
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
