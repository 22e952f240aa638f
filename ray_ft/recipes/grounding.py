"""Whether a generated text stands in the passage it was written from, decided without a model.

Evidence first (the words are found in the passage), then details: numbers and identifiers that the passage does not
hold are invented, however fluent the rest.
"""

import re

from ray_ft.recipes.questions import IDENTIFIER, NUMBER

MIN_EVIDENCE_SCORE = 85.0  # rapidfuzz partial ratio of a sentence against the passage, 0-100


def ungrounded(answer: str, passage: str) -> str:
    """Why an answer is not supported by its passage; "" when it is."""
    if not answer.strip():
        return "empty answer"
    missing = missing_detail(answer, passage)
    if missing:
        return "answer names what the passage does not"
    source = _normalised(passage)
    if _normalised(answer) in source:
        return ""
    from rapidfuzz.fuzz import partial_ratio

    for sentence in re.split(r"(?<=[.!?])\s+", answer.strip()):
        words = _normalised(sentence)
        # Short claims must stand there as they are: fuzzy matching would find three words anywhere.
        if words and words not in source and (len(words) < 20 or partial_ratio(words, source) < MIN_EVIDENCE_SCORE):
            return "answer not found in the passage"
    return ""


def missing_detail(text: str, passage: str) -> str:
    """The first number or identifier of a text that its passage does not hold, or ""."""
    source = passage.lower()
    for pattern in (NUMBER, IDENTIFIER):
        for match in pattern.finditer(text):
            detail = match.group(0).strip(" ,.()").lower()
            if detail and detail not in source:
                return match.group(0)
    return ""


def _normalised(text: str) -> str:
    """Lower-case words with single spaces, without markup."""
    return " ".join(re.sub(r"[`*_#>|\"“”]+", " ", text.lower()).split()).strip(" .")
