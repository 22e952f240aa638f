"""Contents of plain texts: the titles that follow a line such as `Table of Contents` come again where they head."""

import re

TITLE = re.compile(
    r"^[ \t]*(?:(?:table of )?contents|inhalt(?:sverzeichnis)?|sommaire|table des mati[èe]res|[íi]ndice|contenido"
    r"|目次|目录|目錄):?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
NUMBERED = re.compile(r"[ \t]*+(?:(?:\d{1,3}|[A-Z](?=\.))(?:\.\d{1,3})*+\.?|[ivx]{1,5}\.)[ \t]++\S")
LEADERS = ("...", ". . .", "․․․", "…")
RULE = re.compile(r"[ \t]*([=\-_~*])\1{2,}[ \t]*$")
MIN_ENTRIES = 4
MAX_ENTRY = 100  # characters
MAX_CONTENTS = 2000  # lines


def without_contents(text: str) -> str:
    """The text with blank lines in place of its contents, so that every line keeps its number."""
    match = TITLE.search(text)
    if match is None:
        return text
    rows = text.split("\n")
    first = text.count("\n", 0, match.start() + len(match.group()) - len(match.group().lstrip()))
    last = _end(rows, first + 1)
    if last is None:
        return text
    rows[first:last] = [""] * (last - first)
    return "\n".join(rows)


def _end(rows: list[str], first: int) -> int | None:
    """The line behind the last entry; None where too few follow the title to be contents."""
    seen: set[str] = set()
    last, entries = first, 0
    for i in range(first, min(len(rows), first + MAX_CONTENTS)):
        row = rows[i]
        if not row.strip() or RULE.match(row):
            continue
        is_entry = (NUMBERED.match(row) is not None or _has_leader(row)) and len(row) <= MAX_ENTRY
        goes_on = entries > 0 and row[0].isspace() and len(row) <= MAX_ENTRY and last == i
        if not is_entry and not goes_on:
            break
        words = " ".join(row.split()).casefold()
        if is_entry and words in seen and not row[0].isspace():
            break  # what the first of the titles heads
        seen.add(words)
        last, entries = i + 1, entries + is_entry
    return last if entries >= MIN_ENTRIES else None


def _has_leader(row: str) -> bool:
    """Whether a line ends with dots and the number of a page."""
    return row.rstrip().rstrip("0123456789").rstrip().endswith(LEADERS)
