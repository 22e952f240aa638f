"""What a part of a section is about that its other parts are not, by evidence in the text; "" where nothing tells.

A name in a code span of the first sentence tells, and so does a phrase, where the part says it again. Keywords that
stand somewhere in it do not: nobody could ask by them.
"""

import re
from collections.abc import Sequence

from ray_ft.recipes.chunking.entries import BULLET as LIST_ITEM
from ray_ft.recipes.chunking.entries import finished
from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.questions.wordings import ENGLISH, wording_of
from ray_ft.rows import Chunk
from ray_ft.words import num_words, script_language

MIN_WORDS = 12  # of a beginning, beside its listings
NUM_PHRASES = 12  # looked at in a part
MAX_PARTS = 40  # of a section whose parts are told apart so
MIN_TIMES = 2  # that a phrase stands in its part
OFTEN = 3  # so many times more in this part than in all others is as good as only here
MIN_SHARE = 0.6  # of the items of a list that name its subject
MIN_LENGTH, MAX_LENGTH = 4, 40
MAX_NAME_WORDS = 4
OF_CODE = frozenset(";{}()[]=\\")
ITEMS = re.compile(r"\n(?=[-*+•][ \t]|\d{1,3}[.)][ \t])")
BULLET = re.compile(r"[-*+•][ \t]|\d{1,3}[.)][ \t]")
TARGET = re.compile(r"\]\([^()\[\]\s]*+\)|https?://\S+")
LISTING = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
CODE_SPAN = re.compile(r"(?<!`)`{1,2}([^`\n]{2,50})`{1,2}(?!`)")
FIRST_SENTENCE = re.compile(r"\A\s*(?:\S+\s+){0,40}?\S*(?:[.!?:](?=\s|\Z)|[。！？：])")
_LEANING = """
    this that these those it its they them their he she such thus therefore hence then however alas also moreover
    furthermore otherwise instead similarly likewise conversely additionally finally second secondly third next another
    other others and or but so yet again both neither either here there which who whose where note notice again besides
    meanwhile afterwards afterward consequently accordingly nevertheless nonetheless still
"""
LEANING = frozenset(_LEANING.split())
"""Words that begin a text which goes on from one before."""
LEANS = re.compile(
    r"(?:in|for|of|with|by|from|at|on|after|before|because|when|once|as|if|since|while)\s+"
    r"(?:this|that|these|those|such|it|other|addition|contrast|short|turn|particular|above|course|an?\s+exception)\b"
    r"|for\s+(?:example|instance)\b|e\.g\.|examples?:|as\s+(?:above|before|mentioned|noted|described|shown|you\s+can\s+see)\b|the\s+(?:above|former|latter|following|same|other|second|third)\b"
    r"|(?:solution|step|case|option)\s+\d",
    re.IGNORECASE,
)
WORD = re.compile(r"[^\W_]+")
ENDS = (".", "!", "?", "```", "|", "。", "！", "？", "।", "။", "។", "؟", ")", "`", '"', "”", "»", "」", "』", "）")
LEADS_TO_LIST = re.compile(
    "(?:次[はにの]|以下[はにの])[^。\\n]{0,60}。\\s*\\Z|(?:如下|下列|以下|下面)[^。，\\n]{0,24}。\\s*\\Z"
)
"""A last sentence of Japanese and Chinese that says what comes next, where other languages have a colon."""
TAIL = 90  # characters in which it stands
WITHOUT_ENDS = frozenset({"th", "lo", "km", "my"})
"""Languages whose sentences end without a mark."""


def own_subjects(parts: Sequence[Chunk]) -> dict[str, str]:
    """By id of each part of a section: the one phrase that tells it from all others, or ""; none of very many."""
    if len(parts) > MAX_PARTS:
        return {part.id: "" for part in parts}
    prose = [" ".join(TARGET.sub(" ", LISTING.sub("\n", part.text)).lower().split()) for part in parts]
    section = "\n".join(prose)
    return {
        part.id: _subject(part, text, section) if "terms" not in part.metadata and stands_alone(part.text) else ""
        for part, text in zip(parts, prose, strict=True)
    }


def stands_alone(text: str) -> bool:
    """Whether a passage neither goes on from what stood before it nor breaks off."""
    head = text.lstrip(" \t\n*_`“\"'(")
    first = WORD.match(head)
    if first is None or first[0].lower() in LEANING or LEANS.match(head):
        return False
    is_torn = head[0].islower() and text.lstrip()[0] != "`"
    return not is_torn and is_finished(text)


def begins_well(text: str) -> bool:
    """Whether the beginning of a section stands alone and is more than a listing."""
    return stands_alone(text) and num_words(LISTING.sub("\n", text)) >= MIN_WORDS


def is_finished(text: str) -> bool:
    """Whether a passage ends as a sentence, a listing or a table does, but for terms whose entries are not in it."""
    text = finished(text)
    if not text.isascii() and LEADS_TO_LIST.search(text[-TAIL:]):
        return False
    return text.rstrip().endswith(ENDS) or script_language(text) in WITHOUT_ENDS


def ends_in_list(text: str) -> bool:
    """Whether a text ends within a list, a table or a listing, which may go on in the next part."""
    for line in reversed(text.rstrip().split("\n")):
        if LIST_ITEM.match(line) or " | " in line or line.lstrip().startswith("```"):
            return True
        if line.strip() and not line[0].isspace():
            return False
    return False


def _subject(part: Chunk, prose: str, section: str) -> str:
    """The phrase with most evidence: names of the first sentence, and phrases of several words that come again."""
    above = " ".join(part.heading_path).lower()
    sentence = found[0] if (found := FIRST_SENTENCE.match(part.text)) else ""
    names = [m[1].strip() for m in CODE_SPAN.finditer(sentence)]
    phrases = keywords(part.text, NUM_PHRASES) if wording_of(part) is ENGLISH else []
    items = [item.lower() for item in ITEMS.split(part.text) if BULLET.match(item)]
    best, best_score = "", 0
    for phrase in dict.fromkeys([*names, *(p for p in phrases if " " in p)]):
        low = phrase.lower()
        if not MIN_LENGTH <= len(phrase) <= MAX_LENGTH or low in above or not _is_name(phrase):
            continue
        here = prose.count(low)
        if (
            here < MIN_TIMES
            or prose.find(low) > len(prose) / 2
            or (len(items) > 1 and sum(low in item for item in items) < MIN_SHARE * len(items))
        ):
            continue
        elsewhere = section.count(low) - here
        if elsewhere * OFTEN > here or (elsewhere and here < OFTEN):
            continue
        score = 2 * here + 3 * (phrase in names)
        if score > best_score:
            best, best_score = phrase, score
    return best


def _is_name(phrase: str) -> bool:
    """Whether a phrase names something: no path from the root, no number, no piece of code."""
    if phrase[0] in "/\"'" or num_words(phrase) > MAX_NAME_WORDS or not OF_CODE.isdisjoint(phrase):
        return False
    return next((c for c in phrase if c.isalnum()), "0").isalpha()
