"""Lists that lie in a file: of each value the process holds where it ends, eight bytes, and not the value."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from ray_ft.data.run.typed import dump, load

Kind = TypeVar("Kind")


class Spilled(Sequence[Kind], Generic[Kind]):
    """Values of a type, appended once and read by number; the file goes with `close`."""

    def __init__(self, kind: type[Kind], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.kind, self.path = kind, path
        self._stream = path.open("w+b")
        self._ends = array("Q")
        self._end = 0
        self._is_flushed = True

    def append(self, value: Kind) -> None:
        """Add a value behind the others."""
        raw = dump(value)
        self._stream.write(raw)
        self._end += len(raw)
        self._ends.append(self._end)
        self._is_flushed = False

    def extend(self, values: Iterable[Kind]) -> None:
        """Add values behind the others."""
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: Any) -> Any:
        start = self._ends[number - 1] if number else 0
        return load(self.kind, self._read(start, self._ends[number]))

    def __iter__(self) -> Iterator[Kind]:
        return (self[number] for number in range(len(self)))

    def _read(self, start: int, end: int) -> bytes:
        if not self._is_flushed:
            self._stream.flush()
            self._is_flushed = True
        self._stream.seek(start)
        raw = self._stream.read(end - start)
        self._stream.seek(0, 2)
        return raw

    def close(self) -> None:
        """Remove the file."""
        self._stream.close()
        self.path.unlink(missing_ok=True)
