"""Which sections answer a question: they say enough themselves, and neither break off nor lean on what is not there."""

import re

from ray_ft.recipes.chunking.entries import BULLET, finished
from ray_ft.recipes.chunking.pointers import says_enough
from ray_ft.recipes.chunking.worth import MIN_WORDS, as_read, is_worth_it
from ray_ft.recipes.questions.from_structure import ASKED
from ray_ft.recipes.questions.orders import order_of
from ray_ft.recipes.questions.parts import is_finished
from ray_ft.recipes.questions.topics import topic_of
from ray_ft.recipes.questions.usual import USUAL
from ray_ft.rows import Chunk
from ray_ft.words import script_language

MIN_WORDS_SAID = 24  # of what a document says about a topic; who asks how or which is content with fewer
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
    return "part" not in chunk.metadata or not _ends_in_list(text)


def as_answer(chunk: Chunk) -> str:
    """The text of a passage as an answer has it."""
    return finished(as_read(chunk.text))


def _least(chunk: Chunk) -> int:
    if "part" in chunk.metadata and not script_language(chunk.text):
        return MIN_WORDS_CUT
    title = topic.title if (topic := topic_of(chunk)) is not None else ""
    is_asked = title.endswith(ASKED) or bool(order_of(title)) or title.lower() in USUAL
    return MIN_WORDS if is_asked or script_language(chunk.text) else MIN_WORDS_SAID


def _ends_in_list(text: str) -> bool:
    """Whether a text ends within a list, a table or a listing, which may go on in the next part."""
    for line in reversed(text.split("\n")):
        if BULLET.match(line) or " | " in line or line.lstrip().startswith("```"):
            return True
        if line.strip() and not line[0].isspace():
            return False
    return False
