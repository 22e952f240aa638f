"""Texts to 64-bit hashes of their words and of runs of words, in whole-array steps: what duplicates are found by.

Only letters, digits and their marks count, in lower case, so that layout and punctuation never hide a duplicate. Where
a script writes no spaces, each character is a word: the classes are those of `ray_ft.words`, whose spellings of numbers
and signs would take ten times as long.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from ray_ft.overlap import BASE, mix, runs_of
from ray_ft.words import LAST, kinds

Hashes = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]

SHINGLE_WORDS = 5
WINDOW = 1 << 16  # characters hashed at a time, so that the arrays stay in the processor's cache


def shingles(text: str, num_words: int = SHINGLE_WORDS) -> Hashes:
    """Hashes of all runs of `num_words` words, in order; a shorter text that has words is one run of all of them."""
    return runs_of(rough_hashes(text), num_words)


def rough_hashes(text: str) -> Hashes:
    """One hash for each word by its letters alone; `ray_ft.overlap.word_hashes` knows spellings too, and is slow."""
    low = text.lower()
    if low.isascii():
        codes: Codes = np.frombuffer(low.encode("ascii"), dtype=np.uint8)
        known = _kinds()[codes]
    else:
        codes = np.frombuffer(low.encode("utf-32-le", "replace"), dtype=np.uint32)
        known = _kinds()[np.minimum(codes, np.uint32(LAST))]
        codes, known = codes[known != 4], known[known != 4]  # of no width, or points that may be left out
    parts: list[Hashes] = []
    start = 0
    while start < len(codes):
        end = _cut(known, start)
        parts.append(_hash_window(codes[start:end], known[start:end]))
        start = end
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def similarity(first: Hashes, second: Hashes) -> float:
    """Jaccard similarity of two sets of shingles."""
    first, second = np.unique(first), np.unique(second)
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / max(1, len(first) + len(second) - shared)


def _hash_window(codes: Codes, kinds: npt.NDArray[np.uint8]) -> Hashes:
    """Hashes of the words of a window, from sums of characters times powers of BASE over its beginning."""
    padded = np.concatenate(([np.uint8(0)], kinds, [np.uint8(0)]))
    here, before, after = padded[1:-1], padded[:-2], padded[2:]
    # A word goes on while both neighbours are letters; a character of an unspaced script (kind 2) stands alone, with
    # the marks behind it (kind 3).
    starts = np.flatnonzero((here == 2) | ((here == 1) & (before != 1)))
    unspaced = (here == 2) | ((here == 3) & _behind(here)) if (here == 3).any() else here == 2
    ends = np.flatnonzero(((here == 1) & (after != 1)) | (unspaced & (after != 3))) + 1
    powers, inverses = _powers()
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * powers[: len(codes)], out=sums[1:])
    return mix((sums[ends] - sums[starts]) * inverses[starts])


def _behind(kinds: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where a mark (3) follows an unspaced character (2), other marks between them or not."""
    places = np.arange(len(kinds))
    last = np.maximum.accumulate(np.where(kinds != 3, places, -1))
    behind: npt.NDArray[np.bool_] = (last >= 0) & (kinds[np.maximum(last, 0)] == 2)
    return behind


def _cut(kinds: npt.NDArray[np.uint8], start: int) -> int:
    """Where the window that begins at `start` ends: after the last character that is in no word, where there is one."""
    end = start + WINDOW
    if end >= len(kinds):
        return len(kinds)
    gaps = np.flatnonzero(kinds[start:end] == 0)
    return start + int(gaps[-1]) + 1 if len(gaps) else end


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Per code point what it is to `ray_ft.words`: 1 in a word, 2 a word by itself, 3 its marks, 4 nothing anywhere."""
    known = np.frombuffer(kinds(), dtype=np.uint8).copy()
    known[-1] = 2  # stands for all behind it, which is Han
    return known


@cache
def _powers() -> tuple[Hashes, Hashes]:
    """BASE**i and BASE**-i modulo 2**64 for every place in a window."""
    powers = np.full(WINDOW, BASE, dtype=np.uint64)
    inverses = np.full(WINDOW, pow(BASE, -1, 1 << 64), dtype=np.uint64)
    powers[0] = inverses[0] = 1
    return np.cumprod(powers), np.cumprod(inverses)
