"""Where letters of a page stand, many at once.

PDFium tells the place of one letter a call, and Python takes longer to make the call than PDFium to answer it. So calls
are made by `map`, with numbers for pointers, and write into one buffer side by side.
"""

import ctypes
from collections import deque
from collections.abc import Sequence
from functools import cache
from itertools import repeat
from typing import Any

SIDES = 4  # of a box
LOOSE, DRAWN = ctypes.sizeof(ctypes.c_float), ctypes.sizeof(ctypes.c_double)  # bytes of a side


class Places:
    """Left and right ends of letters of one page, in points; letters are told by PDFium's numbers."""

    def __init__(self, raw: Any) -> None:
        self._page = ctypes.cast(raw, ctypes.c_void_p).value

    def loose(self, numbers: Sequence[int]) -> tuple[list[float], list[float]]:
        """By the widths of letters: where each begins, and where it ends."""
        buffer = (ctypes.c_float * (SIDES * len(numbers)))()  # left, top, right, bottom
        start = ctypes.addressof(buffer)
        boxes = range(start, start + ctypes.sizeof(buffer), SIDES * LOOSE)
        self._ask("FPDFText_GetLooseCharBox", numbers, boxes)
        sides: list[float] = buffer[:]
        return sides[0::SIDES], sides[2::SIDES]

    def drawn(self, numbers: Sequence[int]) -> tuple[list[float], list[float]]:
        """By what is drawn of them, which takes a quarter of the time."""
        buffer = (ctypes.c_double * (SIDES * len(numbers)))()  # left, right, bottom, top
        start = ctypes.addressof(buffer)
        end = start + ctypes.sizeof(buffer)
        pointers = (range(start + i * DRAWN, end, SIDES * DRAWN) for i in range(SIDES))
        self._ask("FPDFText_GetCharBox", numbers, *pointers)
        sides: list[float] = buffer[:]
        return sides[0::SIDES], sides[1::SIDES]

    def _ask(self, name: str, numbers: Sequence[int], *pointers: range) -> None:
        deque(map(_asker(name, len(pointers)), repeat(self._page), numbers, *pointers), maxlen=0)


@cache
def _asker(name: str, num_pointers: int) -> Any:
    """A function of PDFium's that takes a page, a number and pointers, without the checks of ctypes."""
    import pypdfium2.raw as pdfium

    address = ctypes.cast(getattr(pdfium, name), ctypes.c_void_p).value or 0
    pointers = [ctypes.c_void_p] * num_pointers
    return ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, *pointers)(address)
