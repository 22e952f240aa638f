"""Where keys and values lie: one store for each layer, in which every open answer has one range of tokens.

A range holds prompt and answer, and is given when the answer begins: what has begun can always end.
"""

from bisect import insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SPARE = 1
"""Places at the beginning that belong to nobody, for rows that only fill a batch up."""


class Ranges:
    """Hands out ranges of [0, size): the lowest that fits, so that what lies above is touched as late as can be."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = [(0, size)] if size else []  # start and length, in order

    @property
    def num_free(self) -> int:
        """All free places together."""
        return sum(length for _, length in self._free)

    def take(self, length: int) -> int | None:
        """Start of a range; None while no gap is long enough."""
        for i, (start, room) in enumerate(self._free):
            if room >= length:
                self._free[i : i + 1] = [(start + length, room - length)] if room > length else []
                return start
        return None

    def give_back(self, start: int, length: int) -> None:
        """Free a range; gaps side by side become one."""
        insort(self._free, (start, length))
        joined: list[tuple[int, int]] = []
        for at, room in self._free:
            if joined and sum(joined[-1]) == at:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((at, room))
        self._free = joined

    def grow(self, size: int) -> None:
        """Add places at the end."""
        if size > self.size:
            start, self.size = self.size, size
            self.give_back(start, size - start)


class KeyValueCache:
    """Keys [tokens, heads, width] and values of every layer, whose shapes need not be the same."""

    def __init__(self, shapes: "list[tuple[torch.Size, torch.Size]]", *, num_tokens: int, like: "torch.Tensor") -> None:
        """`shapes` holds (heads, width) of keys and of values, layer by layer."""
        self.num_tokens = num_tokens
        self.token_bytes = token_bytes(shapes, like.element_size())
        self.device = like.device
        # Not set to zero: a machine's memory is taken as it is written, and nothing is read before.
        self.layers = [tuple(like.new_empty((num_tokens + SPARE, *shape)) for shape in pair) for pair in shapes]
        for keys, values in self.layers:
            keys[:SPARE], values[:SPARE] = 0, 0
        self._ranges = Ranges(num_tokens)

    @property
    def num_taken(self) -> int:
        """Places that belong to open answers."""
        return self.num_tokens - self._ranges.num_free

    def take(self, length: int) -> int | None:
        """First place of a range for so many tokens; None while there is none."""
        start = self._ranges.take(length)
        return None if start is None else start + SPARE

    def give_back(self, start: int, length: int) -> None:
        """Free a range."""
        self._ranges.give_back(start - SPARE, length)


def token_bytes(shapes: "list[tuple[torch.Size, torch.Size]]", element_size: int) -> int:
    """Bytes of one token's keys and values in all layers."""
    return sum(shape.numel() for pair in shapes for shape in pair) * element_size
