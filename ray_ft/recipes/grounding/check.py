"""Whether a generated text stands in the passage it was written from, decided without a model.

The evidence that was quoted has to be found; then every detail, every word and every negation of the answer has to
stand in the passage, in one place, and belong there to what the answer says it belongs to. What a passage implies
without saying it is dropped too: a training set loses less by a true answer than it suffers from a false one.
"""

import re
from itertools import pairwise

from ray_ft.recipes.grounding.binding import joins_what_stands_apart
from ray_ft.recipes.grounding.english import ASKING
from ray_ft.recipes.grounding.passage import Passage, plain, read_passage, read_sentences
from ray_ft.recipes.grounding.statements import STEMMED_UNITS, affirmed_and_denied, read_words

MIN_EVIDENCE_SCORE = 90.0  # rapidfuzz partial ratio of a quotation against the passage, 0-100
MIN_FUZZY_CHARACTERS = 20  # shorter quotations have to stand there as they are
MIN_TOPIC = 0.5  # of a question's content words by the passage


def ungrounded(answer: str, passage: str, *, question: str = "", evidence: str = "") -> str:
    """Why an answer is not supported by its passage; "" when it is.

    `evidence` is the quotation with which the engine proves the answer, `question` what it answers.
    """
    source = read_passage(passage)
    answer = re.sub(r"^\s*(?:yes|no)\s*[,.:;]\s+", "", answer, flags=re.IGNORECASE)
    sentences = read_sentences(answer, source)
    said = [w for sentence in sentences for w in sentence if w.kind != "mark"]
    if not said:
        return "empty answer"
    if evidence.strip() and not _is_quoted(evidence, source):
        return "evidence not found in the passage"
    if missing_detail(answer, passage):
        return "answer names what the passage does not"
    asked = read_words(question, identifiers=source.identifiers)
    # The words of an open question are as good as the passage's; a yes-or-no question holds the claim itself.
    is_open = not (asked and asked[0].text.lower() in ASKING)
    known = source.keys | {w.key for w in asked if is_open}
    if any(w.is_content and w.key not in known for w in said):
        return "answer not found in the passage"
    for sentence in sentences:
        _, denied = affirmed_and_denied(sentence)
        for word in sentence:
            if word.key in source.denied - source.affirmed and word.key not in denied:
                return "answer leaves out a negation"
            if word.key in denied and word.key in source.affirmed - source.denied:
                return "answer negates what the passage says"
        if joins_what_stands_apart(sentence, asked, source):
            return "answer joins what stands apart in the passage"
    return ""


def missing_detail(text: str, passage: str) -> str:
    """The first number, identifier or name of a text that its passage does not hold, or ""."""
    source = read_passage(passage)
    units = {(a.key, b.key) for a, b in pairwise(source.words) if a.kind == "number" and b.kind != "mark"}
    counted = STEMMED_UNITS | {unit for _, unit in units}
    words = read_words(text, identifiers=source.identifiers)
    for i, word in enumerate(words):
        if not word.is_detail:
            continue
        if word.key not in source.keys and not (word.kind == "identifier" and word.key in passage.lower()):
            return word.text
        unit = words[i + 1].key if i + 1 < len(words) and words[i + 1].kind != "number" else ""
        has_unit = word.kind == "number" and any(number == word.key for number, _ in units)
        if has_unit and unit in counted and (word.key, unit) not in units:
            return f"{word.text} {words[i + 1].text}"
    return ""


def off_topic(question: str, passage: str, *, share: float = MIN_TOPIC) -> str:
    """Why a question cannot be about its passage; "" when it may be.

    `share` of its words have to stand in the passage, at least one of them.
    """
    source = read_passage(passage)
    if missing_detail(question, passage):
        return "question names what the passage does not"
    words = [w.key for w in read_words(question, identifiers=source.identifiers) if w.is_content]
    shared = sum(key in source.keys for key in words)
    return "" if shared >= max(share * len(words), 1) else "question is not about the passage"


def _is_quoted(evidence: str, source: Passage) -> bool:
    words = plain(evidence)
    if words in source.plain:
        return True
    from rapidfuzz.fuzz import partial_ratio

    return len(words) >= MIN_FUZZY_CHARACTERS and partial_ratio(words, source.plain) >= MIN_EVIDENCE_SCORE
