"""The keys of many items: 32 bytes each, and found again without a dictionary of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

KEY_BYTES = 32
PREFIX_BYTES = 8


class Keys(Sequence[bytes]):
    """Keys in the order in which they came; a later change of one is seen by those who look it up."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._order: npt.NDArray[np.int64] | None = None
        self._prefixes: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)

    @staticmethod
    def of(keys: Iterable[bytes]) -> "Keys":
        """These keys, in their order."""
        made = Keys()
        for key in keys:
            made.append(key)
        return made

    def append(self, key: bytes) -> None:
        """Add a key behind the others."""
        assert len(key) == KEY_BYTES
        self._bytes += key
        self._order = None

    def replace(self, number: int, key: bytes) -> None:
        """Put another key into a place."""
        self._bytes[number * KEY_BYTES : (number + 1) * KEY_BYTES] = key
        self._order = None

    def change(self, made: Callable[[bytes], bytes]) -> None:
        """Put into each place what is made of its key."""
        for start in range(0, len(self._bytes), KEY_BYTES):
            self._bytes[start : start + KEY_BYTES] = made(bytes(self._bytes[start : start + KEY_BYTES]))
        self._order = None

    def __len__(self) -> int:
        return len(self._bytes) // KEY_BYTES

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return bytes(self._bytes[number * KEY_BYTES : (number + 1) * KEY_BYTES])

    def prefixes(self) -> npt.NDArray[np.uint64]:
        """The first bytes of each key as a number."""
        rows = np.frombuffer(bytes(self._bytes), dtype=np.uint8).reshape(-1, KEY_BYTES)
        made: npt.NDArray[np.uint64] = (
            np.ascontiguousarray(rows[:, :PREFIX_BYTES]).view(">u8").ravel().astype(np.uint64)
        )
        return made

    def numbers_of(self, keys: Sequence[bytes]) -> list[int]:
        """The place of each key, the first one of equal ones; -1 for those that are not here."""
        if self._order is None:
            prefixes = self.prefixes()
            self._order = np.argsort(prefixes, kind="stable").astype(np.int64)
            self._prefixes = prefixes[self._order]
        wanted = np.array([int.from_bytes(key[:PREFIX_BYTES], "big") for key in keys], dtype=np.uint64)
        places = np.searchsorted(self._prefixes, wanted).tolist()
        return [self._first_equal(place, key) for place, key in zip(places, keys, strict=True)]

    def _first_equal(self, place: int, key: bytes) -> int:
        """Of the keys that begin alike, from a place on, the one that is equal."""
        assert self._order is not None
        while place < len(self._order):
            number = int(self._order[place])
            found = self[number]
            if found == key:
                return number
            if found[:PREFIX_BYTES] != key[:PREFIX_BYTES]:
                return -1
            place += 1
        return -1
