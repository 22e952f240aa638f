"""Which passages are worth an example, and how one reads that was cut out of a listing.

What is only a title, a list of links, a few words or the middle of a long listing teaches nothing; retrieval keeps it
all the same.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from ray_ft.recipes.chunking.chunks import LINK, clean_title, file_name
from ray_ft.recipes.chunking.joining import ITEM, is_listing, is_term
from ray_ft.rows import Chunk
from ray_ft.words import num_words

MIN_WORDS = 8
MIN_WORDS_ALONE = 4  # of a document's only passage
MAX_SURE_WORDS = 100  # a body of four times as many characters has more words than are asked for
MIN_ROWS = 3  # of a table, whose narrow rows say something together
MIN_LINE_WORDS = 6  # of a line that says something; shorter ones are names, ways to pages or titles
HEADING = re.compile(r"^#{1,6} .*$|^.*\n([=\-~^\"'#*+.])\1{2,}[ \t]*$", re.MULTILINE)
FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
LISTING = re.compile(r"^[ \t]*```|^[ \t]*[$>#%] \S|^(?: {4}|\t)\S.*[=(){};<>\[\]|$]", re.MULTILINE)
OPEN = (":", "：")
BREAK = re.compile(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•|]|\d{1,3}[.)])[ \t])|(?<=[.!?])[\"')\]]*\s(?=\S)|(?<=[。！？])")
RULE = re.compile(r"([=\-~^\"'*+])\1{2,}\s")  # above a title
URL = re.compile(r"https?://\S++")
CREDITS = re.compile(r"\(#\d+\)|#(?<!\w.)[\w-]++|@(?<!\w.)[\w-]++")
SENTENCE_END = re.compile(r"[.!?。！？।။។](?:(?<=[。！？।။។])|(?=\s|$))")
UNMARKED = re.compile("[\u0e00-\u0eff]")  # Thai and Lao, whose sentences end with a space or nothing
LICENCE = re.compile(  # the heading of a licence that stands in full, and not of what a project says of its own
    r"\b(?:gnu|gpl|lgpl|apache|mit|bsd|isc|mozilla|creative commons|public|documentation)\b[^\n]{0,60}\blicen[cs]e\b",
    re.IGNORECASE,
)
BULLETS = ("•", "*", "-", "–")  # of what is no heading, in a PDF
PAGES = (".htm", ".xhtm", ".php", ".asp")
LEADS_ON = re.compile(r"\.(?:x?html?|php|aspx?)(?:#[^\s#]*+)?[)\]>]?[ \t]*$")  # a line of an index: a name and its page
RULE_ALONE = re.compile(r"[-=*_~]{3,}")
NAMED = re.compile(r"^`++[^`\n]++`++$", re.MULTILINE)  # a line that only names what is told below
MARK = re.compile(r"#{1,6}(?= )")
DEEP = 4  # spaces in front of a single line that is no paragraph's first
MARKED = ("`", "**", "-", "<")
GAP = re.compile(r"\n(?:[ \t]*\n){3,}")  # left by what is not shown
ENDS_SURELY = (".", "!", "?", "。", "```")
IS_HEAD = re.compile(r"^(?=[^\n]*---)[ |:=+-]++$", re.MULTILINE)  # the rule below the names of a table's columns
BROKEN_OFF = re.compile(r"[^\W\d_][ ,]?$")
MAX_TITLE = 60  # characters of a last line that may be a title, an item or a cell
ENDS = (".", "!", "?", ":", "。", "！", "？", "।", "။", "|")


def worth_it(chunks: Sequence[Chunk], *, min_words: int) -> list[tuple[Chunk, str]]:
    """The passages of a document that are worth an example where no heading asks for them, each as it is read.

    `min_words` count beside headings, links and what is said of a change's author; a single sentence takes half more.
    The text of a licence is none of the document's own.
    """
    if len(chunks) == 1:
        return [(chunk, as_read(chunk.text)) for chunk in chunks if is_worth_it(chunk, min_words=MIN_WORDS_ALONE)]
    own = [chunk for chunk in chunks if not any(map(LICENCE.search, chunk.heading_path))]
    found = ((chunk, as_read(chunk.text)) for chunk in own if is_worth_it(chunk, min_words=min_words))
    return [(chunk, text) for chunk, text in found if _stands_alone(text, min_words)]


def _begins_within(text: str) -> bool:
    """Whether a passage begins with what belongs to an item or a term that is not in it: further in than the others."""
    first, gap, rest = text.strip("\n").partition("\n\n")
    if ITEM.match(first):
        return any(ITEM.match(line) and _depth(line) < _depth(first) for line in text.split("\n"))
    lines = first.split("\n")
    depth = min(map(_depth, lines))
    if not depth or not gap:
        return False
    others = min((_depth(line) for line in rest.split("\n") if line.strip()), default=depth)
    return others < depth and (len(lines) > 1 or depth >= DEEP)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def num_rows(text: str) -> int:
    """Rows of a table, where they are three or more and a third of all lines; else 0."""
    if " | " not in text:
        return 0
    lines = text.split("\n")
    rows = sum(" | " in line for line in lines)
    return rows if rows >= MIN_ROWS and MIN_ROWS * rows >= len(lines) else 0


def below_its_heading(chunk: Chunk, text: str) -> str:
    """A passage that goes on within a section, below that section's heading, which says what it is about."""
    file = file_name(chunk.metadata.get("path", ""))
    path = [title for title in dict.fromkeys(chunk.heading_path) if title != file and not title.startswith(BULLETS)]
    if not path or HEADING.match(text.lstrip()) or RULE.match(text) or path[-1] == clean_title(text.partition("\n")[0]):
        return text
    if path[-1] in text and any(path[-1] in match.group() for match in HEADING.finditer(text)):
        return text  # what stands in front of a document's first heading
    return f"{' > '.join(path[-2:])}\n\n{text}"


def _stands_alone(text: str, min_words: int) -> bool:
    """Whether a passage says enough beside what it links to, and neither begins nor ends within something."""
    body = NAMED.sub("", _below_headings(text)) if "`" in text else _below_headings(text)
    body = CREDITS.sub(" ", URL.sub(" ", LINK.sub(" ", body) if "[" in body else body)).strip()
    has_sentences = len(list(islice(SENTENCE_END.finditer(body), 2))) > 1
    is_several = has_sentences or UNMARKED.search(body) is not None
    if len(body) < 4 * MAX_SURE_WORDS and num_words(body) < (min_words if is_several else 1.5 * min_words):
        return False
    if (
        is_listing(text)
        or _begins_within(text)
        or (num_rows(text) and HEADING.match(text) is None and not IS_HEAD.search(text))
    ):
        return False
    lines = body.split("\n")
    if any(page in body for page in PAGES) and 2 * sum(LEADS_ON.search(line) is not None for line in lines) > len(
        lines
    ):
        return False
    last = text.rstrip().rpartition("\n")[2]
    is_prose = has_sentences and len(last) > MAX_TITLE and ITEM.match(last) is None and " | " not in last
    return not (is_prose and BROKEN_OFF.search(last) and not UNMARKED.search(last))


def is_worth_it(chunk: Chunk, *, min_words: int = MIN_WORDS) -> bool:
    """Whether a passage of a document holds a sentence, a listing or rows of a table, and more than a few words."""
    if "torn" in chunk.metadata:
        return False
    body = _below_headings(chunk.text).strip()
    if len(body) < 4 * MAX_SURE_WORDS and num_words(body) < min_words:
        return False
    if body.endswith(OPEN) and _without_lead(chunk.text) == chunk.text:
        return False  # nothing but the beginning of what is not here
    lines = body.split("\n")
    if any(map(_says_something, lines)) or sum(" | " in line for line in lines) >= MIN_ROWS:
        return True
    return LISTING.search(body) is not None


@lru_cache(maxsize=4)
def _below_headings(text: str) -> str:
    """A text without its headings; one passage is asked for several times in a row."""
    return HEADING.sub("", text)


def as_read(text: str) -> str:
    """The text of a passage with the fence that a cut took from the listing at one of its ends.

    The beginning of a sentence that goes on with what is not in the passage is left out, where more than it remains,
    and so are the name of what is not and headings above nothing. Three blank lines and more become one.
    """
    text = _without_lead(_without_name(_without_bare_headings(GAP.sub("\n\n", text))))
    marks = [match.start() for match in FENCE.finditer(text)] if "```" in text else []
    if len(marks) % 2 == 0:
        return text
    # A fence that closes stands right below the listing, and one that opens has a blank line above it.
    closes = marks[0] > 0 and not text[: marks[0]].endswith("\n\n")
    return f"```\n{text}" if closes else f"{text}\n```"


def _without_bare_headings(text: str) -> str:
    """Without headings of Markdown right above one that is no part of theirs."""
    if not text.startswith("#") and "\n\n#" not in text:
        return text
    parts = text.split("\n\n")
    levels = [(mark.end() if (mark := MARK.match(part)) and "\n" not in part.strip() else 0) for part in parts]
    pairs = zip(parts, levels, [*levels[1:], 0], strict=True)
    return "\n\n".join(part for part, level, below in pairs if not (level and 0 < below <= level))


def _without_name(text: str) -> str:
    """Without a last heading, or a line by itself that is set as code or marked, and names what would follow it."""
    parts = text.rstrip().split("\n\n")
    num_kept = len(parts)
    while num_kept > 1 and (last := parts[num_kept - 1].strip()).startswith(MARKED) and is_term(last):
        num_kept -= 1
    if num_kept < len(parts) and not parts[num_kept - 1].rstrip().endswith(ENDS_SURELY):
        num_kept = num_kept if HEADING.fullmatch(parts[num_kept - 1]) else len(parts)
    last = parts[num_kept - 1].strip()
    if num_kept > 1 and (HEADING.fullmatch(last) or RULE_ALONE.fullmatch(last)):
        num_kept -= 1
    if num_kept == len(parts):
        return text
    kept = "\n\n".join(parts[:num_kept]).rstrip()
    return _without_name(kept) if num_words(_below_headings(kept)) >= MIN_WORDS else text


def _without_lead(text: str) -> str:
    """Without a last line or sentence such as `The options are:`."""
    if not text.rstrip().endswith(OPEN):
        return text
    last = max((match.start() for match in BREAK.finditer(text)), default=0)
    kept = text[:last].rstrip()
    return kept if num_words(_below_headings(kept)) >= MIN_WORDS else text


def _says_something(line: str) -> bool:
    if " | " in line:
        return num_words(line) >= MIN_LINE_WORDS
    return num_words(line) >= MIN_LINE_WORDS or (num_words(line) >= MIN_LINE_WORDS / 2 and line.rstrip().endswith(ENDS))
