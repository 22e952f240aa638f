"""Sentences as comparable words: numbers, identifiers and names told apart, and what a negation reaches.

The word lists are English; in other languages a word counts only as what it is, and nothing is negated.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ray_ft.recipes.chunking.keywords import STOP_WORDS
from ray_ft.recipes.grounding.english import (
    AUXILIARIES,
    CONJUNCTIONS,
    GLUE,
    IRREGULAR,
    NEGATIONS,
    NUMBER_WORDS,
    RELATIONS,
    SAME_UNIT,
    SUBORDINATORS,
    UNITS,
)
from ray_ft.words import UNSPACED

Kind = Literal["number", "identifier", "name", "word", "relation", "glue", "mark"]

MARKS = ".,;:!?()。；，"
_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED)
TOKEN = re.compile(
    r"""
      UNSPACED   # a character is a word
    | \d[\d,]*(?:\.\d+)*(?=[^\w.:-]|[.:-](?!\w)|[a-z°µ]{1,2}\b|$)   # a number, its unit may follow at once
    | (?:(?<![#@/$-])[#@/$-]++)?SPACED+(?:[-.:/=@#]+SPACED+)*(?:\(\))?(?:'s)?(?:'t)?   # words, paths, options, times
    | [%°€$£]
    | [.,;:!?()。；，]
    """.replace("UNSPACED", f"[{_UNSPACED}]").replace("SPACED", rf"[^\W{_UNSPACED}]"),
    re.VERBOSE,
)
ENDINGS = ("ings", "ing", "ions", "ion", "edly", "ed", "als", "al", "ies", "es", "ly", "y", "s", "e")
MAX_SCOPE = 4  # words behind a negation that it reaches
MAX_LISTED = 5  # words of one entry of a list


@dataclass(frozen=True)
class Word:
    """One token: `key` is what it is compared by, `position` its place in the text that was read."""

    text: str
    key: str
    kind: Kind
    position: int

    @property
    def is_detail(self) -> bool:
        """Numbers, identifiers and names: what an answer can get wrong without sounding wrong."""
        return self.kind in ("number", "identifier", "name")

    @property
    def is_content(self) -> bool:
        """Whether the word says something: details, words, and relations between them."""
        return self.kind not in ("glue", "mark")


def read_words(text: str, *, identifiers: frozenset[str] = frozenset()) -> list[Word]:
    """The tokens of a text, marks included; `identifiers` are words known to be such from elsewhere."""
    found = [m.group(0) for m in TOKEN.finditer(re.sub(r"[`*\"“”]+", " ", text))]
    words: list[Word] = []
    for i, token in enumerate(found):
        begins = i == 0 or found[i - 1] in ".:!?。"
        following = [stem(t) for t in found[i + 1 : i + 3]]
        key, kind = _read(token, following, begins=begins, identifiers=identifiers)
        words.append(Word(token, key, kind, i))
    return words


def _read(token: str, following: Sequence[str], *, begins: bool, identifiers: frozenset[str]) -> tuple[str, Kind]:
    """Key and kind of a token; a capital letter makes a name unless a sentence begins with it."""
    lower = token.lower().removesuffix("'s")
    if token in MARKS:
        return token, "mark"
    if number := _number(lower, following):
        return number, "number"
    if lower in NEGATIONS:
        return lower, "glue"
    if lower in RELATIONS:
        return lower, "relation"
    if lower in identifiers or _is_identifier(token):
        return lower.removesuffix("()").lstrip("#@$"), "identifier"
    if len(token) == 1 and token.isupper() and token not in "AI" and not begins:
        return lower, "name"  # the D of Annex D
    if lower in STOP_WORDS or lower in GLUE:
        return stem(lower), "glue"
    return stem(lower), "name" if token[0].isupper() and not begins else "word"


def _number(word: str, following: Sequence[str]) -> str:
    """Digits, times and number words as digits; `a day` and `one working day` count, other ones do not."""
    if re.fullmatch(r"\d[\d,]*(?:\.\d+)*", word):
        return word.replace(",", "").rstrip(".")
    if re.fullmatch(r"\d{1,2}:\d\d", word):
        return word
    if word in ("one", "a", "an"):
        return "1" if any(f in STEMMED_UNITS for f in following[: 2 if word == "one" else 1]) else ""
    return NUMBER_WORDS.get(word, "")


def _is_identifier(token: str) -> bool:
    """`shipctl_run`, `E-17`, `/v2/charges`, `--to`, `atlas-raw2`, `readFile`, `TTL`; not `read-only`."""
    has_mark = bool(re.search(r"[_=/:@#.$]|\(\)$|^-", token))
    has_digit = any(c.isdigit() for c in token)
    return has_mark or has_digit or bool(re.search(r"[a-z][A-Z]", token)) or (token.isupper() and len(token) > 2)


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A word without its ending, so that `approves`, `approved` and `approval` are equal."""
    word = word.lower()
    if word in SAME_UNIT:
        return SAME_UNIT[word]
    word = IRREGULAR.get(word, word)
    if not word.endswith("ss"):
        ending = next((e for e in ENDINGS if word.endswith(e) and len(word) - len(e) >= 3), "")
        word = word.removesuffix(ending)
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word


STEMMED_UNITS = frozenset(stem(u) for u in UNITS) | frozenset("%€$£")


def split_at_marks(words: Sequence[Word], marks: str) -> list[list[Word]]:
    """Runs of words between these marks, empty ones left out."""
    runs: list[list[Word]] = [[]]
    for word in words:
        if word.kind == "mark" and word.text in marks:
            runs.append([])
        else:
            runs[-1].append(word)
    return [run for run in runs if run]


def clauses(words: Sequence[Word]) -> list[list[Word]]:
    """The smallest statements of a text: between marks and conjunctions."""
    found: list[list[Word]] = []
    for run in split_at_marks(words, MARKS):
        found.append([])
        for word in run:
            if word.text.lower() in CONJUNCTIONS:
                found.append([])
            else:
                found[-1].append(word)
    return [clause for clause in found if clause]


def affirmed_and_denied(words: Sequence[Word]) -> tuple[frozenset[str], frozenset[str]]:
    """Keys of the words that stand somewhere without a negation, and of those that one reaches, inside its clause.

    `not discarded` reaches what follows, `not rotate, stretch or bend` the whole list; `the monitor does not` and
    `loses none` reach what stands before.
    """
    reached = {
        word.position
        for scope in _scopes(words)
        for place, negation in enumerate(scope)
        if negation.text.lower() in NEGATIONS
        for word in _reach(scope, place)
    }
    told = [w for w in words if _can_be_denied(w)]
    affirmed = frozenset(w.key for w in told if w.position not in reached)
    return affirmed, frozenset(w.key for w in told if w.position in reached)


def _reach(scope: Sequence[Word], place: int) -> list[Word]:
    """The words of a scope that the negation at a place denies."""
    behind: list[Word] = []
    for other in scope[place + 1 :]:
        if other.text.lower() in SUBORDINATORS and other is not scope[-1]:
            break  # what a condition says is not denied
        behind += [other] if _can_be_denied(other) else []
    if behind and scope[place].text.lower() != "none":
        return behind[:MAX_SCOPE]
    return [w for w in scope[:place] if _can_be_denied(w)][-MAX_SCOPE:]


def _can_be_denied(word: Word) -> bool:
    return word.kind not in ("number", "mark") and word.text.lower() not in AUXILIARIES


def _scopes(words: Sequence[Word]) -> list[list[Word]]:
    """Runs between marks; the commas of a list that ends with `or` do not count."""
    found: list[list[Word]] = []
    for run in split_at_marks(words, ".;:!?()。；"):
        pieces = split_at_marks(run, ",，")
        for i, piece in enumerate(pieces):
            ends_with_or = any("or" in [w.text.lower() for w in p[:MAX_LISTED]] for p in pieces[i:])
            if i > 0 and len(piece) <= MAX_LISTED and ends_with_or:
                found[-1].extend(piece)
            else:
                found.append(list(piece))
    return found
