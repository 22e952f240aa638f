"""What a word is, in every script: the one tokenizer of metrics, retrieval and decontamination.

Word boundaries are those of Unicode's UAX #29, which asks for tailoring; these are the rules:

- Text is NFKC-folded, words are case-folded. Combining marks belong to their word; Arabic and Hebrew vowel points,
  which may be left out, and characters without width do not count.
- Scripts without spaces (Han, kana, Thai, Lao, Khmer, Burmese) count by character, its marks included, as in MLQA
  (Lewis et al. 2020).
- A number is one word in one spelling, in any digits: 1,000 = 1'000 = 1_000 = 1000 (and with no-break spaces), 3,5 =
  3.5 = 3.50, 1.234,5 = 1234.5, 2e-4 = 0.0002. One comma with three digits behind it divides thousands. A minus sign
  belongs to its number where no word stands right before it: -5 is not 5, and 3-5 is two numbers.
- Units that are signs are words (5%, €5, 5°), and so are operators (!= is not ==, a < b is not a > b) and the signs
  that end a name (C++, C#). Other punctuation, and what Markdown emphasises with, is not.
- A full stop or a colon ends a word (config.py is two); an apostrophe does not, but the possessive 's does not count,
  and the Romance article before one (l'eau) is a word of its own.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from typing import NamedTuple

UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0x3005, 0x3007),
    (0x3040, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x9FFF), (0xA980, 0xA9DF), (0xAA60, 0xAADF), (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Code points of scripts without spaces: Thai, Lao, Burmese, Khmer, those of the Tai, Javanese, kana, Chinese."""
SIMPLIFIED = frozenset("这个们来为国时说会对发经动产学员机关开过还进现应实电压阀门启闭运务设报认请红绿")
TRADITIONAL = frozenset("這個們來為國時說會對發經動產學員機關開過還進現應實電壓閥門啟閉運務設報認請紅綠")
"""Frequent characters of Chinese that the two ways to write it have each for itself."""
LOOP = 4  # so often may four words in a row come again before a text is a loop
LAST = 0x1FFFF  # what lies behind is Han alone
POINTS = "ـ\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06ed\u0591-\u05bd\u05bf-\u05c7"  # of Arabic and Hebrew
_SAME_SIGN = str.maketrans(
    {"’": "'", "ʼ": "'", "׳": "'", "״": '"', "−": "-", "≠": "!=", "≤": "<=", "≥": ">=", "→": "->", "⇒": "=>",
     "٫": ".", "٬": ",", "⁄": "/", "\u200b": " "}
)  # fmt: skip
_TOKEN = r"""
    (?P<word>
        START WORD* (?: ['·]WORD+ | "(?<=[א-ת].)(?=[א-ת]) WORD+ )*
        (?: (?<=\d)(?:\.\d+)+ | \+\+(?!\+) | \#(?![\w\#]) )? )
  | (?P<number>
        (?: -(?<![^\s(\[{<>=:,;|/*^CURRENCY].)(?<!\d.)(?=[CURRENCY]?\d) )? [CURRENCY]?
        (?: 0[xX][\da-fA-F]+(?!\w)                      # hexadecimal stays as it is
          | \d+(?:\.\d+)?[eE][+-]?\d{1,2}(?![\w.])        # 2e-4
          | \d+(?:[.,'_]\d+)* ) )
  | (?P<unspaced> [UNSPACED][MARKS]* )
  | (?P<operator>
        (?<![<>=!+\-|&:*/]) (?: ===|!==|==|!=|<=|>=|->|=>|:=|\+=|-=|&&|<< ) (?![<>=!+|&:*/])
      | (?<=\s)(?:\|\||[<>+])(?=\s) | (?:(?<=\w)|(?<=\w[ ]))[<>](?=[ ]?-?\d) | (?<=\d)\+(?=\d) | [MATHS] )
  | (?P<unit> [CURRENCY](?:(?<=\d.)|(?<=\d[ ].)) | %(?:(?<=\d.)|(?<=\d[ ].)) | [‰°] )
"""
_GROUPING = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_DIGIT = re.compile(r"(?![0-9])\d")
_DASH = re.compile(r"(?<![^\s(])[–‒](?=\d)")
_PERCENT = re.compile(r"(?:(?<=\d)|(?<=\d ))(?:per ?cent|pct)\b", re.IGNORECASE)
_ELISION = re.compile(r"((?:[cdjlmnst]|qu|lorsqu|puisqu|jusqu|un|all|dell|nell|sull|dall)')(\w{2}.*)", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")  # those of India come in twos
_POINTED = re.compile(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}")
_OTHER_GROUPS = re.compile(r"\d{1,3}(?:['_]\d{3})+(?:\.\d+)?")


class Piece(NamedTuple):
    """One word of a text as it stands there, and in the spelling that it is compared by."""

    text: str
    word: str
    joins: bool = False  # a character of a script without spaces, right behind another one
    is_number: bool = False


def split(text: str) -> list[str]:
    """The words of a text, in order, as they are compared."""
    words: list[str] = []
    normal = _normal(text)
    for found in _pattern(normal).finditer(normal):
        kind = found.lastgroup
        if kind == "word" or kind == "number":
            words += [piece.word for piece in _read(found.group(), kind)]
        else:
            words.append(found.group())
    return words


def pieces(text: str) -> Iterator[Piece]:
    """The words of a text, in order; a number's sign of currency is a word behind it."""
    end = -1
    normal = _normal(text)
    for found in _pattern(normal).finditer(normal):
        kind = found.lastgroup
        if kind == "word" or kind == "number":
            yield from _read(found.group(), kind)
        else:
            yield Piece(found.group(), found.group(), joins=kind == "unspaced" and end == found.start())
        end = found.end() if kind == "unspaced" else -1


def num_words(text: str) -> int:
    """How many words a reader would count: between spaces, and by length in scripts without spaces.

    A word has two characters of Han or kana, and four of Thai, Lao, Khmer or Burmese with their marks.
    """
    if text.isascii():
        return len(text.split())
    wide, syllabic = _unspaced_patterns()
    num_wide, num_syllabic = len(wide.findall(text)), len(syllabic.findall(text))
    if not num_wide and not num_syllabic:
        return len(text.split())
    others = sum(any(map(str.isalnum, word)) for word in syllabic.sub(" ", wide.sub(" ", text)).split())
    return others + -(-num_wide // 2) + -(-num_syllabic // 4)


def script_language(text: str) -> str:
    """The language that the script of a third of the letters tells: zh-Hans, zh-Hant, ja, ko, th, lo, km, my, or ""."""
    if text.isascii() or not _any_script().search(text):
        return ""
    letters = sum(c.isalpha() for c in text)
    counts = script_counts(text)
    if counts["ja"] + counts["zh"] > letters / 3 and counts["ja"] > counts["zh"] / 8:
        return "ja"
    best = max(counts, key=lambda name: counts[name])
    if counts[best] <= letters / 3 or not counts[best]:
        return ""
    if best == "zh":
        return "zh-Hant" if sum(c in TRADITIONAL for c in text) > sum(c in SIMPLIFIED for c in text) else "zh-Hans"
    return best


def script_counts(text: str) -> dict[str, int]:
    """How many characters of a text are in each script that tells a language; `ja` are kana, `zh` Han."""
    return {name: len(pattern.findall(text)) for name, pattern in _script_patterns().items()}


def is_loop(words: Sequence[str]) -> bool:
    """Whether four words in a row stand there more than LOOP times."""
    runs = Counter(tuple(words[i : i + 4]) for i in range(len(words) - 3))
    return any(number > LOOP for number in runs.values())


def is_number(word: str) -> bool:
    """Whether a word that `split` gave is a number."""
    return word.removeprefix("-")[:1].isdecimal()


def _normal(text: str) -> str:
    """One spelling of characters, without what has no width and without points that writers may leave out."""
    if not text.isascii():
        raised, unseen = _fold_patterns()
        text = _GROUPING.sub("", raised.sub(" ", text)).translate(_SAME_SIGN)
        text = unseen.sub("", unicodedata.normalize("NFKC", text).translate(_SAME_SIGN))
        text = _DIGIT.sub(lambda m: str(unicodedata.decimal(m.group())), text)
        text = _DASH.sub("-", text)
    return _PERCENT.sub("%", text)


@lru_cache(maxsize=1 << 16)
def _read(token: str, kind: str) -> tuple[Piece, ...]:
    return tuple(_number(token) if kind == "number" else _word(token))


def _word(token: str) -> Iterator[Piece]:
    bare = token.strip("_")
    match = _ELISION.match(bare)
    for part in (match.group(1), match.group(2)) if match else (bare,):
        word = part.casefold()
        if not word.isascii():
            word = unicodedata.normalize("NFKC", word).replace("i\u0307", "i")  # the Turkish capital
        if word := word.removesuffix("'s"):
            yield Piece(part, word)


def _number(token: str) -> Iterator[Piece]:
    """The number in one spelling, as several where commas make a list of it, then its sign of currency."""
    sign = "-" if token.startswith("-") else ""
    rest = token.removeprefix("-")
    currency = "" if rest[0].isdecimal() else rest[0]
    digits = rest[len(currency) :]
    is_list = digits.count(",") > 1 and not _THOUSANDS.fullmatch(digits)
    for i, part in enumerate(digits.split(",") if is_list else [digits]):
        word = _canonical(part)
        minus = sign if i == 0 and word.strip("0.") else ""
        yield Piece(part, minus + word, is_number=True)
    if currency:
        yield Piece(currency, currency)


def _canonical(digits: str) -> str:
    if digits.isdecimal() or digits[:2].lower() == "0x":
        return digits.lower()
    if "e" in digits.lower():
        digits = f"{Decimal(digits):f}"
    elif _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    elif _POINTED.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif _OTHER_GROUPS.fullmatch(digits):
        digits = digits.replace("'", "").replace("_", "")
    elif digits.count(",") == 1 and "." not in digits:
        digits = digits.replace(",", ".")
    return digits.rstrip("0").rstrip(".") if digits.count(".") == 1 else digits


@cache
def _unspaced_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Characters of which two, and of which four with their marks, are about a word."""
    wide = [(a, b) for a, b in UNSPACED if a >= 0x3000 and a not in (0xA980, 0xAA60)]
    return _of_ranges(wide), _of_ranges([span for span in UNSPACED if span not in wide])


@cache
def _script_patterns() -> dict[str, re.Pattern[str]]:
    ranges = {
        "ja": [(0x3041, 0x30FF), (0x31F0, 0x31FF)], "zh": [(0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)],
        "ko": [(0x1100, 0x11FF), (0xAC00, 0xD7A3)], "th": [(0x0E00, 0x0E7F)], "lo": [(0x0E80, 0x0EFF)],
        "km": [(0x1780, 0x17FF)], "my": [(0x1000, 0x109F)],
    }  # fmt: skip
    return {name: _of_ranges(spans) for name, spans in ranges.items()}


@cache
def _any_script() -> re.Pattern[str]:
    return re.compile("|".join(pattern.pattern for pattern in _script_patterns().values()))


def _of_ranges(spans: Iterable[tuple[int, int]]) -> re.Pattern[str]:
    return re.compile(f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in spans)}]")


@cache
def kinds() -> bytes:
    """Per code point up to LAST: 0 for what is in no word, 1 for letters, digits and marks, 2 for unspaced characters,
    3 for the marks of these, 4 for what does not count wherever it stands."""
    unseen = re.compile(f"[{POINTS}]")
    made = bytearray(LAST + 1)
    for code in range(LAST + 1):
        kind = unicodedata.category(chr(code))
        if kind == "Cf" or unseen.match(chr(code)):
            made[code] = 4
        elif kind[0] in "LMN":
            made[code] = 1
    for first, last in UNSPACED:
        for code in range(first, min(last, LAST) + 1):
            made[code] = 0 if not made[code] else 3 if unicodedata.category(chr(code))[0] == "M" else 2
    return bytes(made)


def _pattern(text: str) -> re.Pattern[str]:
    return _ascii_pattern() if text.isascii() else _full_pattern()


@cache
def _ascii_pattern() -> re.Pattern[str]:
    """The same tokens where nothing but ASCII is, in a third of the time."""
    none = "\ufffe"  # no character at all
    return _filled(
        {"START": "[A-Za-z_]", "WORD": "[A-Za-z0-9_]", "CURRENCY": "$", "UNSPACED": none, "MARKS": none, "MATHS": none},
        re.ASCII,
    )


@cache
def _full_pattern() -> re.Pattern[str]:
    every = kinds()
    words = [c for c, kind in enumerate(every) if kind == 1 or c == 0x5F]
    behind = f"{chr(0x20000)}-{chr(0x3FFFF)}"
    parts = {
        "START": f"[{_set(c for c in words if not chr(c).isdecimal())}]",
        "WORD": f"[{_set(words)}]",
        "CURRENCY": _set(c for c in range(LAST) if unicodedata.category(chr(c)) == "Sc"),
        "UNSPACED": _set(c for c, kind in enumerate(every) if kind == 2) + behind,
        "MARKS": _set(c for c in range(LAST) if unicodedata.category(chr(c))[0] == "M"),
        "MATHS": _set(c for c in range(LAST) if unicodedata.category(chr(c)) == "Sm" and chr(c) not in "<>=+|~"),
    }
    return _filled(parts, re.UNICODE)


def _filled(parts: Mapping[str, str], flags: re.RegexFlag) -> re.Pattern[str]:
    pattern = _TOKEN
    for name, characters in parts.items():
        pattern = pattern.replace(name, characters)
    return re.compile(pattern, re.VERBOSE | flags)


@cache
def _fold_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Before what is raised behind a digit (10² is not 102), and what does not count."""
    raised = _set(c for c in range(LAST) if unicodedata.category(chr(c)) == "No")
    return re.compile(rf"(?<=\d)(?=[{raised}])"), re.compile(f"[{_set(c for c, k in enumerate(kinds()) if k == 4)}]+")


def _set(codes: Iterable[int]) -> str:
    """The inside of a pattern's brackets for these code points, in order."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in runs)
