"""Texts to 64-bit hashes of their words and of runs of words, in whole-array steps: what duplicates are found by.

Only letters and digits count, in lower case, so that layout and punctuation never hide a duplicate. Where a script
writes no spaces, each character is a word.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]

SHINGLE_WORDS = 5
WINDOW = 1 << 16  # characters hashed at a time, so that the arrays stay in the processor's cache
BASE = 0x9E3779B97F4A7C15  # odd, hence with an inverse modulo 2**64
STEPS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)
UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
"""Code points of scripts without spaces: Thai, Lao, Burmese, Khmer, kana, Chinese."""


def shingles(text: str, num_words: int = SHINGLE_WORDS) -> Hashes:
    """Hashes of all runs of `num_words` words, in order; a shorter text that has words is one run of all of them."""
    return runs_of(word_hashes(text), num_words)


def runs_of(words: Hashes, num_words: int) -> Hashes:
    """Hashes of all runs of `num_words` of these words, in order."""
    size = min(num_words, len(words))
    if not size:
        return words
    total = np.zeros(len(words) - size + 1, dtype=np.uint64)
    for i in range(size):
        total = total * np.uint64(BASE) + words[i : len(words) - size + 1 + i]
    return _mix(total)


def word_hashes(text: str) -> Hashes:
    """One hash for each word."""
    low = text.lower()
    if low.isascii():
        codes: Codes = np.frombuffer(low.encode("ascii"), dtype=np.uint8)
        kinds = _kinds()[codes]
    else:
        codes = np.frombuffer(low.encode("utf-32-le", "replace"), dtype=np.uint32)
        kinds = _kinds()[np.minimum(codes, np.uint32(0xFFFF))]
    parts: list[Hashes] = []
    start = 0
    while start < len(codes):
        end = _cut(kinds, start)
        parts.append(_hash_window(codes[start:end], kinds[start:end]))
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
    # A word goes on while both neighbours are letters; a character of an unspaced script (kind 2) stands alone.
    starts = np.flatnonzero((here == 2) | ((here == 1) & (before != 1)))
    ends = np.flatnonzero((here == 2) | ((here == 1) & (after != 1))) + 1
    powers, inverses = _powers()
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * powers[: len(codes)], out=sums[1:])
    return _mix((sums[ends] - sums[starts]) * inverses[starts])


def _cut(kinds: npt.NDArray[np.uint8], start: int) -> int:
    """Where the window that begins at `start` ends: after the last character that is in no word, where there is one."""
    end = start + WINDOW
    if end >= len(kinds):
        return len(kinds)
    gaps = np.flatnonzero(kinds[start:end] == 0)
    return start + int(gaps[-1]) + 1 if len(gaps) else end


def _mix(values: Hashes) -> Hashes:
    """Spread the bits, which sums of products leave uneven."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(STEPS[0])
    values = (values ^ (values >> np.uint64(27))) * np.uint64(STEPS[1])
    return values ^ (values >> np.uint64(31))


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Per code point: 0 for what is in no word, 1 for letters and digits, 2 for characters that are words."""
    kinds = np.fromiter((chr(code).isalnum() for code in range(0x10000)), dtype=np.uint8, count=0x10000)
    for first, last in UNSPACED:
        kinds[first : last + 1] *= 2
    kinds[0xFFFF] = 2  # stands for all above it, which are scripts and signs that no space divides
    return kinds


@cache
def _powers() -> tuple[Hashes, Hashes]:
    """BASE**i and BASE**-i modulo 2**64 for every place in a window."""
    powers = np.full(WINDOW, BASE, dtype=np.uint64)
    inverses = np.full(WINDOW, pow(BASE, -1, 1 << 64), dtype=np.uint64)
    powers[0] = inverses[0] = 1
    return np.cumprod(powers), np.cumprod(inverses)
