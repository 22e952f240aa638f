"""Keywords of one passage by RAKE (Rose et al. 2010): phrases between stop words, scored by how their words co-occur.

RAKE looks at nothing but the passage, so it streams and needs no corpus statistics. The stop words are English. In
scripts without spaces a phrase is what stands between marks and function words, and each character counts as a word.
"""

import re
from collections import Counter

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
STOP_WORDS = frozenset(ENGLISH.split())
NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`{1,2}|https?://\S+|<[^<>\n]{1,80}>|\]\([^)\]]*+\)|^[=\-~^\"'*#+]{3,}$", re.DOTALL | re.MULTILINE
)
WORD = re.compile(r"[^\W\d_][\w]*(?:[-'’./][\w]+)*|\S|\n")
UNSPACED_RUN = re.compile(f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in UNSPACED)}]+")
FUNCTION_WORDS = re.compile(  # of Chinese, Japanese and Thai, where they end one phrase and begin another
    "[ぁ-ゟ]+|[的了是在和与與或及对對为為以从從到把被将將请請并並也都就而且着過过很再会會能可要应應不没沒有这這那其此该該每各]"
    "|之[前后後]|已[经經]|需要|如果|因[为為]|所以|但是|按照|由于|直到"
    "|และ|หรือ|ที่|ของ|ใน|ให้|ว่า|แล้ว|จน|เป็น|ได้|จะ|ไม่|กับ|จาก|โดย|เพื่อ|ก่อน|หลัง|อยู่|ไว้|ต้อง|เมื่อ|ถ้า|ซึ่ง"
)
MIN_UNSPACED, MAX_UNSPACED = 2, 12  # characters of a phrase
MAX_WORDS = 4
MAX_WORD_LENGTH = 40


def keywords(text: str, max_keywords: int = 8) -> list[str]:
    """The best phrases, best first, spelled as they first stand in the text; empty when there are none."""
    text = NOT_PROSE.sub(" ", text)
    unspaced = [] if text.isascii() else [p for run in UNSPACED_RUN.findall(text) for p in _unspaced_phrases(run)]
    phrases = [(" ", phrase) for phrase in _phrases(UNSPACED_RUN.sub(".", text) if unspaced else text)]
    frequency: Counter[str] = Counter()
    degree: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    parts: dict[str, list[str]] = {}
    for joint, phrase in [*phrases, *(("", list(phrase)) for phrase in unspaced)]:
        spelled = joint.join(phrase)
        key = spelled.lower()
        spelling.setdefault(key, spelled)
        parts[key] = key.split(" ") if joint else list(key)
        for word in parts[key]:
            frequency[word] += 1
            degree[word] += len(phrase)
    scores = {key: sum(degree[word] / frequency[word] for word in words) for key, words in parts.items()}
    best = sorted(scores, key=lambda key: -scores[key])  # stable: earlier phrases win ties
    chosen: list[str] = []
    for key in best:
        if len(chosen) == max_keywords:
            break
        if not any(f" {key} " in f" {other} " for other in chosen):
            chosen.append(key)
    return [spelling[key] for key in chosen]


def _unspaced_phrases(run: str) -> list[str]:
    """What stands between function words, of a length that a phrase has."""
    parts = FUNCTION_WORDS.split(run)
    return [part for part in parts if MIN_UNSPACED <= len(part) <= MAX_UNSPACED]


def _phrases(text: str) -> list[list[str]]:
    """Runs of words that no stop word, mark or line end interrupts; longer runs than MAX_WORDS are no keywords."""
    phrases: list[list[str]] = []
    run: list[str] = []
    previous = "\n"
    for word in [*WORD.findall(text), "\n"]:
        is_word = word[0].isalpha() and word.lower() not in STOP_WORDS and 1 < len(word) <= MAX_WORD_LENGTH
        if is_word:
            run.append(word)
        elif not (word == "\n" and previous not in (".", "\n", ":") and run):  # a line break inside a sentence
            if 1 <= len(run) <= MAX_WORDS and len("".join(run)) > 2:
                phrases.append(run)
            run = []
        previous = word
    if 1 <= len(run) <= MAX_WORDS:
        phrases.append(run)
    return phrases
