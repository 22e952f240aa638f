"""What a text says itself, beside telling where something else is said: links, lists of links, `See the manual`."""

import re

from ray_ft.recipes.chunking.worth import LISTING, MIN_ROWS
from ray_ft.words import num_words

LINK = re.compile(
    r"!?\[[^\[\]\n]*+(?:\n[^\[\]\n]*+)?\](?:\([^)\s]*+(?:\s[^)\n]*+)?\)|\[[^\[\]\n]*+\]|(?!\())|https?://\S+|<[^<>\s]+@[^<>\s]+>"
)
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z`*(\[])|\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t])")
POINTER = re.compile(
    r"[\W\d]*(?:(?:please|also|and|then|first)[,\s]+)*(?:(?:see|refer|consult|read|visit|follow)\b|check\s+out|take\s+a\s+look|"
    r"have\s+a\s+look|cf\.|(?:for|more)\s+(?:(?:more|further|additional|full|a\s+full|complete|the|all)\s+)*(?:information|details?|"
    r"documentation|description|examples?|explanation|list)\b|(?:full|further|more|additional)\s+(?:information|details?)|"
    r"details?\s+(?:about|on|of)\b[^.]*\b(?:found|documents?|documented)|if\s+you\b[^.]*,\s+(?:please\s+)?(?:see|refer|consult|read)\b|"
    r"when\s+you[^.]*,\s+(?:please\s+)?(?:see|refer|consult|read)\b)",
    re.IGNORECASE,
)
UNTRANSLATED = re.compile(
    r"noch nicht übersetzt|henüz[^.]{0,30}çevrilme|pas encore (?:été )?traduit|(?:aún|todavía) no[^.]{0,30}traducid"
    r"|ainda não[^.]{0,30}traduzid|まだ翻訳|아직 번역|尚未翻[译譯]|not (?:yet )?(?:been )?translated (?:yet|into)",
    re.IGNORECASE,
)
MAX_NOTICE = 600  # characters of a text that says no more than so
MARK = "\u0000"
MIN_SHOWN = 6  # words, those of the listing counted
MIN_SHARE = 0.4  # of a sentence's words, that are no link


def says_enough(text: str, *, min_words: int) -> bool:
    """Whether a text says so much itself; a listing or a table needs few words beside it."""
    is_shown = text.count(" | ") >= MIN_ROWS or LISTING.search(text) is not None
    return own_words(text) >= (MIN_SHOWN if is_shown else min_words)


def own_words(text: str) -> int:
    """Words of a text that are not there to lead elsewhere; none of one that is still to be translated."""
    if len(text) <= MAX_NOTICE and UNTRANSLATED.search(text):
        return 0
    marked = LINK.sub(lambda link: f" {MARK} {'x ' * num_words(link[0].partition('](')[0])} {MARK} ", text)
    return sum(map(_own_words, SENTENCE_END.split(marked)))


def _own_words(sentence: str) -> int:
    inside = sentence.split(MARK)
    linked, rest = " ".join(inside[1::2]), " ".join(inside[::2]).strip("-*+•|:.,; \t\n")
    num_rest = num_words(rest)
    if POINTER.match(sentence.replace(MARK, "").lstrip()):
        return 0
    is_link = bool(linked.strip()) and num_rest < MIN_SHARE * (num_rest + len(linked.split()))
    return 0 if is_link else num_rest + len(linked.split())
