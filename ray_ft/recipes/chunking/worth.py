"""Which passages are worth an example, and how one reads that was cut out of a listing.

What is only a title, a list of links, a few words or the middle of a long listing teaches nothing; retrieval keeps it
all the same.
"""

import re
from collections.abc import Sequence

from ray_ft.rows import Chunk
from ray_ft.words import num_words

MIN_WORDS = 8
MIN_WORDS_ALONE, MIN_WORDS_OF_MANY = 4, 12  # of a document's only passage, and of one among others
MAX_SURE_WORDS = 100  # a body of four times as many characters has more words than are asked for
MIN_ROWS = 3  # of a table, whose narrow rows say something together
MIN_LINE_WORDS = 6  # of a line that says something; shorter ones are names, ways to pages or titles
HEADING = re.compile(r"^#{1,6} .*$|^.*\n([=\-~^\"'#*+.])\1{2,}[ \t]*$", re.MULTILINE)
FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
LISTING = re.compile(r"^[ \t]*```|^[ \t]*[$>#%] \S|^(?: {4}|\t)\S.*[=(){};<>\[\]|$]", re.MULTILINE)
OPEN = (":", "：")
BREAK = re.compile(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•|]|\d{1,3}[.)])[ \t])|(?<=[.!?])[\"')\]]*\s(?=\S)|(?<=[。！？])")
ENDS = (".", "!", "?", ":", "。", "！", "？", "।", "။", "|")


def worth_it(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The passages of a document that are worth an example where no heading asks for them."""
    least = MIN_WORDS_ALONE if len(chunks) == 1 else MIN_WORDS_OF_MANY
    return [chunk for chunk in chunks if is_worth_it(chunk, min_words=least)]


def is_worth_it(chunk: Chunk, *, min_words: int = MIN_WORDS) -> bool:
    """Whether a passage of a document holds a sentence, a listing or rows of a table, and more than a few words."""
    if "torn" in chunk.metadata:
        return False
    body = HEADING.sub("", chunk.text).strip()
    if len(body) < 4 * MAX_SURE_WORDS and num_words(body) < min_words:
        return False
    if body.endswith(OPEN) and _without_lead(chunk.text) == chunk.text:
        return False  # nothing but the beginning of what is not here
    lines = body.split("\n")
    is_table = sum(" | " in line for line in lines) >= MIN_ROWS
    return is_table or LISTING.search(body) is not None or any(map(_says_something, lines))


def as_read(text: str) -> str:
    """The text of a passage with the fence that a cut took from the listing at one of its ends.

    The beginning of a sentence that goes on with what is not in the passage is left out, where more than it remains.
    """
    text = _without_lead(text)
    marks = [match.start() for match in FENCE.finditer(text)]
    if len(marks) % 2 == 0:
        return text
    # A fence that closes stands right below the listing, and one that opens has a blank line above it.
    closes = marks[0] > 0 and not text[: marks[0]].endswith("\n\n")
    return f"```\n{text}" if closes else f"{text}\n```"


def _without_lead(text: str) -> str:
    """Without a last line or sentence such as `The options are:`."""
    if not text.rstrip().endswith(OPEN):
        return text
    last = max((match.start() for match in BREAK.finditer(text)), default=0)
    kept = text[:last].rstrip()
    return kept if num_words(HEADING.sub("", kept)) >= MIN_WORDS else text


def _says_something(line: str) -> bool:
    if " | " in line:
        return num_words(line) >= MIN_LINE_WORDS
    return num_words(line) >= MIN_LINE_WORDS or (num_words(line) >= MIN_LINE_WORDS / 2 and line.rstrip().endswith(ENDS))
