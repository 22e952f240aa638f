"""Whose turn it is: lines, one for each tenant and adapter, take turns by the tokens that they cost.

Start-time fair queueing (Goyal, Vin, Cheng 1996): a line that asks for much waits behind one that asks for little, and
one that was silent does not get to catch up.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

Line = TypeVar("Line", bound=Hashable)


class VirtualClock(Generic[Line]):
    """Virtual time, in tokens. What starts earlier by it goes first."""

    def __init__(self) -> None:
        self._starts: dict[Line, int] = {}  # of what comes next in each line
        self._now = 0

    def join(self, line: Line) -> None:
        """Somebody stands in a line again, or still."""
        self._starts[line] = max(self._starts.get(line, 0), self._now)

    def start(self, line: Line) -> int:
        """When the next of a line starts."""
        return self._starts[line]

    def take(self, line: Line, num_tokens: int) -> int:
        """The start of the next of a line, which costs so many tokens."""
        start = self._starts[line]
        self._starts[line] = start + num_tokens
        return start

    def begin(self, start: int) -> None:
        """What starts then is begun: who comes now gets no turn from before."""
        self._now = max(self._now, start)

    def forget(self) -> None:
        """Nobody waits, and the past counts no more."""
        self._starts.clear()
        self._now = 0
