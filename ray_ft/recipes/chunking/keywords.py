"""Keywords of one passage by RAKE (Rose et al. 2010): phrases between stop words, scored by how their words co-occur.

RAKE looks at nothing but the passage, so it streams and needs no corpus statistics. The stop words are English, and
those of the passage's European language. In scripts without spaces a phrase is what stands between marks and function
words, and each character counts as a word.
"""

import re
from collections import Counter
from functools import lru_cache

from ray_ft.recipes.chunking.languages import BY_LANGUAGE, ELISION, european_language
from ray_ft.words import UNSPACED

ENGLISH = """
    a able about above according across after again against all allow allows almost also although always am among an and
    another any anything are aren't around as at available away b be became because become been before below between
    both but by c can can't cannot come could couldn't currently d did didn't different do does doesn't doing don't done
    down during e e.g each either else enough etc even ever every example f few find first following follows for found
    from full further g get gets give given gives go goes going good h had has hasn't have haven't having he her here
    hers him his how however i i.e if in instead into is isn't it it's its itself j just k keep keeps know known l last
    later least less let let's like likely ll look m made make makes making many may maybe me mean means might more most
    much must my myself n near need needed needs never new next no non none nor not note nothing now o of off often ok
    on once one ones only onto or other others otherwise our out over own p part per perhaps please possible put q r
    rather re really right s said same say see seen several shall she should shouldn't show shown shows since so some
    something sometimes soon still such sure t take taken takes tell than that that's the their them then there there's
    therefore these they they're thing things this those though three through thus to together too toward try two u
    under unless until up upon us use used useful uses using usually v various very via w want wants was wasn't way we
    we'll well were what what's when where whether which while who whole whose why will with within without won't would
    x y yes yet you you'll you're your yours z
"""
VERBS = """
    accept achieve adopt affect allow appear apply arise assume avoid become begin behave belong bring cause choose
    coincide compare compute concern conform connect consider consist contain continue convert correspond create
    decide declare define deny depend derive describe determine differ disable disappear disconnect discuss
    distinguish do emit enable encounter encourage ensure evaluate exceed exist expand expect explain express extend
    fail fall forbid gather generate guarantee happen identify ignore imply improve indicate inform inherit
    initialize intend introduce invoke involve lack let maintain manage mention modify obtain occur omit operate
    overwrite perform permit precede prefer preserve prevent produce prohibit provide receive recognize recommend
    reduce refer rejoin relate rely remain remember remove replace represent require reside resolve restrict retain
    retrieve reveal satisfy select send serve simplify specify start stop store submit succeed suffer suggest
    suppose surround take tell tend terminate transform treat truncate try understand vary wait wish write yield
"""
FORMS = """
    added adding additionally adds already asked asking asks away back called calling calls changed changing chosen
    displayed displaying displays done dropped due e.g else ended etc exactly followed found further given got
    gotten handled holding holds i.e instead kept knows listed lists looked looking looks meant moved moves moving
    passed passing placed printed processed reached reads retrieved returned returning returns running runs said
    saved seen selected sent sets showed showing shown started stored supplied thrown took turned turns updated
    wants written wrote yes
"""
"""Words that end a phrase: forms of verbs that say what happens to things and name none."""
DOUBLED = frozenset({"commit", "emit", "occur", "omit", "permit", "prefer", "refer", "submit", "stop", "let"})
ADVERB = re.compile(r"[a-z]{3,}ly", re.IGNORECASE)
NO_ADVERBS = frozenset(
    {"anomaly", "assembly", "daily", "early", "family", "hourly", "monopoly", "multiply", "reply", "supply", "weekly"}
)


def _forms(verb: str) -> list[str]:
    """A regular verb as it is, in the third person, in the past, and with -ing."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return [verb, f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing"]
    third = f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else f"{verb}s"
    stem = f"{verb}{verb[-1]}" if verb in DOUBLED else verb.removesuffix("e")
    return [verb, third, f"{stem}ed", f"{stem}ing"]


STOP_WORDS = frozenset(ENGLISH.split()).union(FORMS.split(), *map(_forms, VERBS.split()))
NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`{1,2}|https?://\S+|<[^<>\n]{1,80}>|\]\([^)\]]*+\)|^[=\-~^\"'*#+]{3,}$", re.DOTALL | re.MULTILINE
)
ROW_END = re.compile(r"\n(?:(?=[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t])|(?<=[^\n]\n)(?=[^\n|]{1,80} \| ))")
"""The end of a row of a table or of a list's item, where a phrase ends too."""
WORD = re.compile(r"[^\W\d_][\w]*(?:[-'’./][\w]+)*|\S|\n")
UNSPACED_RUN = re.compile(f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in UNSPACED)}]+")
FUNCTION_WORDS = re.compile(  # of Chinese, Japanese and Thai, where they end one phrase and begin another
    "[ぁ-ゟ]+|[的了是在和与與或及对對为為以从從到把被将將请請并並也都就而且着過过很再会會能可要应應不没沒有这這那其此该該每各]"
    "|之[前后後]|已[经經]|需要|如果|因[为為]|所以|但是|按照|由于|直到"
    "|และ|หรือ|ที่|ของ|ใน|ให้|ว่า|แล้ว|จน|เป็น|ได้|จะ|ไม่|กับ|จาก|โดย|เพื่อ|ก่อน|หลัง|อยู่|ไว้|ต้อง|เมื่อ|ถ้า|ซึ่ง"
)
PAST = re.compile(r"[a-z]{3,}ed")
NO_WORDS: frozenset[str] = frozenset()
MIN_UNSPACED, MAX_UNSPACED = 2, 12  # characters of a phrase
MAX_WORDS = 4
MAX_WORD_LENGTH = 40
RUN = re.compile("w+(?:nw+)*")  # of words by their kinds: one end of a line stands within a sentence
MAX_KINDS = 1 << 16  # words that are remembered


def keywords(text: str, max_keywords: int = 8, language: str | None = None) -> list[str]:
    """The best phrases, best first, spelled as they first stand in the text; empty when there are none.

    `language` is that of the text, if it is known; else its words tell it.
    """
    text = ROW_END.sub(".\n", NOT_PROSE.sub(" ", text))
    unspaced = [] if text.isascii() else [p for run in UNSPACED_RUN.findall(text) for p in _unspaced_phrases(run)]
    language = "" if unspaced else european_language(text) if language is None else language
    spaced = UNSPACED_RUN.sub(".", text) if unspaced else ELISION.sub("de ", text) if language == "fr" else text
    spelling: dict[str, str] = {}
    parts: dict[str, list[str]] = {}
    several: list[list[str]] = []  # words of phrases with more than one
    every: list[str] = []
    for phrase in _phrases(spaced, BY_LANGUAGE.get(language, NO_WORDS)):
        spelled = phrase[0] if len(phrase) == 1 else " ".join(phrase)
        key = spelled.lower()
        words = [key] if len(phrase) == 1 else key.split(" ")
        if key not in parts:
            spelling[key], parts[key] = spelled, words
        if len(phrase) > 1:
            several.append(words)
        every += words
    for spelled in unspaced:
        key = spelled.lower()
        spelling.setdefault(key, spelled)
        parts[key] = words = list(key)
        several.append(words)
        every += words
    frequency = Counter(every)
    degree = dict(frequency)
    for words in several:
        more = len(words) - 1
        for word in words:
            degree[word] += more
    shares = {word: degree[word] / number for word, number in frequency.items()}
    scores = {key: sum(map(shares.__getitem__, words)) for key, words in parts.items()}
    best = sorted(scores, key=scores.__getitem__, reverse=True)  # stable: earlier phrases win ties
    chosen: list[str] = []
    within = ""  # those that are chosen, a line each
    for key in best:
        if len(chosen) == max_keywords:
            break
        if f" {key} " not in within:
            chosen.append(key)
            within += f" {key} \n"
    return [spelling[key] for key in chosen]


def _unspaced_phrases(run: str) -> list[str]:
    """What stands between function words, of a length that a phrase has."""
    parts = FUNCTION_WORDS.split(run)
    return [part for part in parts if MIN_UNSPACED <= len(part) <= MAX_UNSPACED]


def _phrases(text: str, function_words: frozenset[str]) -> list[list[str]]:
    """Runs of words that no stop word, mark or line end interrupts; longer runs than MAX_WORDS are no keywords."""
    phrases: list[list[str]] = []
    words = WORD.findall(text)
    for found in RUN.finditer("".join(map(_kinds(function_words).__getitem__, words))):
        first, end = found.span()
        run = words[first:end]
        if "\n" in run:
            run = [word for word in run if word != "\n"]
        if len(run) > 2 or run[-1].endswith("ed"):
            run = _trimmed(run)
        if len(run) > 1 or (run and (len(run[0]) > 2 or end == len(words))):
            phrases.append(run)
    return phrases


class _Kinds(dict[str, str]):
    """By word or mark a letter: `w` where a phrase may hold it, `n` for the end of a line, `o` for others."""

    def __init__(self, function_words: frozenset[str]) -> None:
        self._function_words = function_words

    def __missing__(self, word: str) -> str:
        if len(self) > MAX_KINDS:
            self.clear()
        is_word = _is_word(word) and word.lower() not in self._function_words
        kind = self[word] = "w" if is_word else "n" if word == "\n" else "o"
        return kind


@lru_cache(maxsize=16)
def _kinds(function_words: frozenset[str]) -> _Kinds:
    return _Kinds(function_words)


def _is_word(word: str) -> bool:
    """Whether a phrase may hold it: no mark, no stop word, no adverb."""
    if not word[0].isalpha() or not 1 < len(word) <= MAX_WORD_LENGTH:
        return False
    low = word.lower()
    return low not in STOP_WORDS and (ADVERB.fullmatch(low) is None or low in NO_ADVERBS)


def _trimmed(run: list[str]) -> list[str]:
    """A phrase without what is a verb more often than not: `files covered`, `executing arbitrary commands`."""
    while run and run[-1].endswith("ed") and PAST.fullmatch(run[-1]):
        run = run[:-1]
    if len(run) > 2 and run[0].endswith("ing") and run[0].islower():
        run = run[1:]
    return run if len(run) <= MAX_WORDS else []
