"""Which sections answer a question: they say enough themselves, and neither break off nor lean on what is not there."""

import re

from ray_ft.recipes.chunking.entries import finished, groups
from ray_ft.recipes.chunking.pointers import says_enough
from ray_ft.recipes.chunking.worth import MIN_WORDS, as_read, is_worth_it
from ray_ft.recipes.questions.from_structure import ASKED
from ray_ft.recipes.questions.orders import order_of
from ray_ft.recipes.questions.parts import ends_in_list, is_finished
from ray_ft.recipes.questions.topics import topic_of
from ray_ft.recipes.questions.usual import USUAL
from ray_ft.rows import Chunk
from ray_ft.words import script_language

MIN_WORDS_SAID = 24  # of what a document says about a topic; who asks how or which is content with fewer
MIN_WORDS_USUAL = 12  # of what every manual tells of its command
MIN_WORDS_CUT = 40  # of the first part of a section that is too long
LEANS_ON = re.compile(
    r"\b(?:in|from|of|with|see|as) the (?:above|previous|preceding|earlier|last) "
    r"(?:\w+ )?(?:example|question|section|chapter|step|command|code)"
    r"|\bprevious (?:question|section|chapter)|\b(?:example|section|code) above\b|\bas above\b|\bshown above\b",
    re.IGNORECASE,
)
HEAD = 240  # characters in which a text says what it goes on from


def is_answer(chunk: Chunk) -> bool:
    """Whether a passage of a document answers what its heading asks."""
    text = as_answer(chunk).rstrip()
    if not is_worth_it(chunk) or not says_enough(text, min_words=_least(chunk)):
        return False
    if LEANS_ON.search(text[:HEAD]) or not is_finished(text):
        return False
    return "part" not in chunk.metadata or not ends_in_list(text)


def as_answer(chunk: Chunk) -> str:
    """The text of a passage as an answer has it: of a cut section, what stands before a list that goes on elsewhere."""
    text = chunk.text
    if "part" in chunk.metadata and not (first := groups(text, 0, len(text), min_words=1)[0]).terms:
        text = text[: first.end].rstrip()
    return finished(as_read(text))


def _least(chunk: Chunk) -> int:
    if "part" in chunk.metadata and not script_language(chunk.text):
        return MIN_WORDS_CUT
    title = topic.title if (topic := topic_of(chunk)) is not None else ""
    if title.endswith(ASKED) or order_of(title) or script_language(chunk.text):
        return MIN_WORDS
    return MIN_WORDS_USUAL if title.lower() in USUAL else MIN_WORDS_SAID
