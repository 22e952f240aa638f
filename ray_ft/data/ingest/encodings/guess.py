"""The encoding of bytes that are no UTF-8, by evidence: the one in which they are usual letters of one language.

Each candidate is asked how likely the bytes are if it is right: how usual the letters are in each of its languages, and
whether capitals, marks and letters of other scripts stand where such stand in words. A few kilobytes are looked at.
"""

import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ray_ft.data.ingest.encodings.letters import (
    CONTROL,
    CYRILLIC,
    EASTERN,
    FOREIGN,
    SIGN,
    WESTERN,
    log_of_ideograph,
    logs_of,
)

if TYPE_CHECKING:
    import numpy as np

MAX_SAMPLE, MAX_LINE = 8192, 2048  # bytes, of lines that hold more than ASCII
SURE = 3.0  # nats between the best reading and another one of the same bytes
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
BYTE_WISE = {  # encoding -> its languages and what speaks against it from the start, in nats
    "cp1252": (WESTERN, 0.0), "cp1250": ((*EASTERN, "de"), 0.5), "cp1251": (CYRILLIC, 0.0), "cp1254": (("tr",), 0.5),
    "cp1253": (("el",), 0.5), "cp1255": (("he",), 0.5), "cp1256": (("ar", "fa"), 0.5),
    "cp1257": (("lt", "lv", "et"), 0.5), "cp1258": (("vi",), 2.0), "cp874": (("th",), 0.5),
    "koi8-r": (("ru", "bg"), 0.5), "koi8-u": (("uk", "be"), 1.0), "iso8859-2": (EASTERN, 1.0),
    "iso8859-15": (WESTERN, 1.5), "iso8859-5": (CYRILLIC, 2.0), "iso8859-7": (("el",), 1.0),
    "iso8859-6": (("ar",), 1.0), "iso8859-13": (("lt", "lv"), 2.0),
    "cp866": (CYRILLIC, 2.0), "cp850": (WESTERN, 3.0), "cp852": (EASTERN, 3.0), "cp857": (("tr",), 3.0),
    "mac_roman": (WESTERN, 3.0), "mac_cyrillic": (CYRILLIC, 3.0),
}  # fmt: skip
WIDE = {
    "gb18030": ("zh-Hans", "zh-Hant"), "big5": ("zh-Hant",), "shift_jis": ("ja",), "euc_jp": ("ja",),
    "euc_kr": ("ko",), "utf-16-le": ("zh-Hans", "zh-Hant", "ja", "ko"), "utf-16-be": ("zh-Hans", "zh-Hant", "ja", "ko"),
}  # fmt: skip
WIDER = {"shift_jis": "cp932", "big5": "cp950", "euc_kr": "cp949"}  # what vendors added
WIDE_PRIOR, WRONG_BYTE, BESIDE_LATIN = 1.0, -15.0, -1.5

# Kinds of characters: space and ASCII marks; Latin letters; those of other scripts, by case or without; marks.
SPACE, LOWER, UPPER, OTHER_LOWER, OTHER_UPPER, CASELESS, MARK = range(7)
PUNCTUATION = "’‘“”„‚«»–—…"
MIXED = -6.0  # letters of two scripts in one word
FOLLOWS = (  # what it costs that the second stands behind the first, in nats, in the order of the kinds
    (0.0, -0.1, -1.5, -0.1, -1.0, 0.0, -1.0),
    (0.0, 0.0, -5.0, MIXED, MIXED, MIXED, -2.5),
    (0.0, 0.0, -1.0, MIXED, MIXED, MIXED, -3.0),
    (0.0, MIXED, MIXED, 0.0, -5.0, MIXED, -2.5),
    (0.0, MIXED, MIXED, 0.0, -0.1, MIXED, -3.0),
    (0.0, MIXED, MIXED, MIXED, MIXED, 0.0, -2.5),
    (0.0, -2.5, -1.0, -2.5, -1.0, -1.0, -2.0),
)


SPACED = re.compile("(?<=[\u2e80-\uffff]) (?=[\u2e80-\uffff])")


class Guess(NamedTuple):
    """The best encoding of some bytes, how likely it makes them (nats), and another that is nearly as likely."""

    encoding: str
    score: float
    rival: str = ""


def guess(sample: bytes, *, wide: bool = True, whole: bool = False) -> Guess:
    """The encoding of what `sample_of` gave, all of the file or not; `wide` admits several bytes to a character."""
    scores = byte_wise_scores(sample)
    asked = [name for name in WIDE if wide and (whole or not name.startswith("utf-16"))]
    scores |= {name: score for name in asked if (score := _wide_score(sample, name)) is not None}
    best, *others = sorted(scores, key=lambda name: -scores[name])
    near = [name for name in others[:4] if scores[best] - scores[name] < SURE]
    rivals = [name for name in near if _read(sample, name) != _read(sample, best)]
    return Guess(best, scores[best], rivals[0] if rivals else "")


def sample_of(data: bytes) -> bytes:
    """Lines with more than ASCII in them, from the first on, so many that they tell."""
    parts: list[bytes] = []
    size = position = 0
    while size < MAX_SAMPLE and (hit := BEYOND_ASCII.search(data, position)):
        start = max(data.rfind(b"\n", position, hit.start()) + 1, position)
        if hit.start() - start > MAX_LINE:
            start = hit.start() - 1
        end = data.find(b"\n", hit.start())
        position = min(len(data) if end < 0 else end + 1, start + MAX_SAMPLE)
        parts.append(data[start:position])
        size += position - start
    return b"".join(parts)[:MAX_SAMPLE]


def byte_wise_scores(sample: bytes) -> dict[str, float]:
    """How likely each encoding of a byte to a character makes a sample."""
    import numpy as np

    values = np.frombuffer(b" " + sample + b" ", np.uint8).astype(np.int64)
    counts = np.bincount(values[values >= 128], minlength=256).astype(np.float64)
    is_told = (values[:-1] >= 128) | (values[1:] >= 128)
    pairs = np.bincount((256 * values[:-1] + values[1:])[is_told], minlength=65536).reshape(256, 256)
    there = np.unique(values)  # few of the 256
    few = pairs[np.ix_(there, there)].astype(np.float64)
    follows = np.array(FOLLOWS)
    scores: dict[str, float] = {}
    for name, (languages, prior) in BYTE_WISE.items():
        kinds, logs = _table(name)
        placed = float(((kinds[there].T @ few @ kinds[there]) * follows).sum())
        scores[name] = placed - prior + max(float(logs[i] @ counts) for i in range(len(languages)))
    return scores


@cache
def _table(encoding: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Kind of each byte's character as rows of zeros and a one, and per language the log of how usual it is."""
    import numpy as np

    languages = BYTE_WISE[encoding][0]
    kinds, logs = np.zeros((256, len(FOLLOWS))), np.full((len(languages), 256), CONTROL)
    for byte in range(256):
        character = bytes([byte]).decode(encoding, "replace")
        kinds[byte, _kind(character)] = 1
        for row, language in enumerate(languages) if byte >= 128 else ():
            logs[row, byte] = _log(character, language)
    return kinds, logs


def _log(character: str, language: str) -> float:
    found = logs_of(language).get(character) or logs_of(language).get(_lower(character))
    if found is not None:
        return found
    kind = unicodedata.category(character)
    return CONTROL if character == "\ufffd" or kind[0] == "C" else FOREIGN if kind[0] in "LM" else SIGN


def _lower(character: str) -> str:
    return "i" if character == "İ" else character.lower()


def _kind(character: str) -> int:
    if not character.isalpha() and unicodedata.category(character)[0] != "M":
        return SPACE if character.isascii() or character in PUNCTUATION else MARK
    if character in "ºª":
        return MARK
    is_latin = character.isascii() or "LATIN" in unicodedata.name(character, "") or 0x300 <= ord(character) < 0x370
    if character.isupper():
        return UPPER if is_latin else OTHER_UPPER
    if is_latin:
        return LOWER
    return OTHER_LOWER if character.islower() else CASELESS


def _wide_score(sample: bytes, encoding: str) -> float | None:
    """How likely an encoding of several bytes makes a sample; None where it cannot be."""
    text = _read(sample, encoding)
    counts = Counter(text)
    wrong = counts["\ufffd"] + sum(n for c, n in counts.items() if "\udc80" <= c <= "\udcff")
    if wrong > 1 + len(text) / 50:
        return None
    if encoding.startswith("utf-16") and (wrong or len(sample) % 2 or not _is_printed(counts)):
        return None
    beside = sum(a.isascii() and a.isalpha() and b > "\u2e7f" for a, b in pairwise(text))
    beside += len(SPACED.findall(text)) if "ko" not in WIDE[encoding] else 0
    counted = [(c, n) for c, n in counts.items() if not c.isascii() and not "\udc80" <= c <= "\udcff"]
    likely = max(sum(n * log_of_ideograph(c, language) for c, n in counted) for language in WIDE[encoding])
    return likely + wrong * WRONG_BYTE + beside * BESIDE_LATIN - WIDE_PRIOR


def _is_printed(counts: Counter[str]) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\t\n\r\f" for c in counts)


def _read(sample: bytes, encoding: str) -> str:
    """The text, without a character that the sample's end has cut; what is wrong stands as halves of characters."""
    is_bytes = encoding in WIDE and not encoding.startswith("utf-16")
    text = sample.decode(WIDER.get(encoding, encoding), "surrogateescape" if is_bytes else "replace")
    return text[:-1] if encoding in WIDE and text[-1:] and "\udc80" <= text[-1] <= "\udcff" else text
