"""Who is next: answers wait in lines, one for each tenant and adapter, which take turns."""

from collections import deque
from collections.abc import Callable, Iterator

from ray_ft.engines.fair import VirtualClock
from ray_ft.engines.transformers.rows import Row

Key = tuple[bool, str, str]


class WaitingLines:
    """The answers that have not begun."""

    def __init__(self) -> None:
        self._lines: dict[Key, deque[Row]] = {}
        self._clock = VirtualClock[Key]()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Row]:
        return (row for line in self._lines.values() for row in line)

    def add(self, row: Row) -> None:
        """Take a place at the end of its line."""
        request = row.request
        key = (request.is_background, request.tenant, request.adapter or "")
        if key not in self._lines:
            self._lines[key] = deque()
            self._clock.join(key)
        self._lines[key].append(row)

    def drop(self, is_gone: Callable[[Row], bool]) -> None:
        """Let go of some of those who wait."""
        for key, line in list(self._lines.items()):
            self._lines[key] = deque(row for row in line if not is_gone(row))
            self._close(key)

    def pick(self, can_begin: Callable[[Row], bool]) -> Row | None:
        """The first of the line whose turn it is, if it can begin; lines that cannot are passed over.

        Those in the background come last.
        """
        for key in sorted(self._lines, key=lambda k: (k[0], self._clock.start(k))):
            row = self._lines[key][0]
            if can_begin(row):
                self._lines[key].popleft()
                self._clock.begin(self._clock.take(key, row.num_places))
                self._close(key)
                return row
        return None

    def _close(self, key: Key) -> None:
        if not self._lines[key]:
            del self._lines[key]
        if not self._lines:  # nobody waits: the past is forgotten
            self._clock.forget()
