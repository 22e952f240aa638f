"""Licences and copyrights that a document begins with, which are no content: every page of a project has the same.

A page about licences is read: what stands below a heading that speaks of them, or is all that a page says, stays.
"""

import re
from collections.abc import Iterator

from ray_ft.data.filters.redaction import without_blocks
from ray_ft.rows import Block, Document

MAX_BLOCKS = 8  # at the head
HINTS = ("licen", "copyright", "©", "permission is hereby", "all rights reserved", "spdx-")
MARKS = re.compile(r"^[ \t]*+(?:#++|//++|--++|;++|%++|\*++|/\*++|\.\.)?+[ \t]*+", re.MULTILINE)
BEGINS = re.compile(
    r"(?:\(c\)|©|copyright\b(?:(?:\s|[(©:,])++(?:c\)|\d{4})|\s++the\s))|spdx-(?:license|filecopyright)"
    r"|(?:permission is hereby granted|all rights reserved|redistribution and use in source)\b"
    r"|(?:this|the) (?:file|work|document|documentation|page|program|software|manual|article|source code|library)"
    r" (?:is|was|may be|are) (?:free software|distributed|released|made available|(?:dual-)?licen[cs]ed|part of)\b"
    r"|licen[cs]ed (?:under|to (?:the|you|one))\b"
    r"|(?:this program|this library|you) (?:is free software|can redistribute)\b",
    re.IGNORECASE,
)
GOES_ON = (
    "licens", "licenc", "copyright", "warrant", "redistribut", "permission", "as is", "as-is", "liable", "liability",
    "merchantab", "gnu.org", "free software", "unless required by", "following conditions", "all rights reserved",
    "creativecommons.org", "public domain", "apache.org/", "spdx-", "notice file",
)  # fmt: skip
"""Words, one of which each sentence of a licence has."""
SENTENCE = re.compile(r"(?<=[.;])\s++(?=[A-Z(\"“])|\n[ \t]*+\n")
ABOUT = re.compile(r"licen[cs]|copyright|legal|notice|terms|colophon|imprint|impressum", re.IGNORECASE)


def without_notice(document: Document) -> Document:
    """The document without the licence at its head; code has its own (`data/formats/code/licence.py`)."""
    head = document.text[: document.blocks[min(MAX_BLOCKS, len(document.blocks)) - 1].end] if document.blocks else ""
    low = head.casefold()
    if document.language or not any(hint in low for hint in HINTS):
        return document
    gone = set(_told(document.blocks[:MAX_BLOCKS]))
    rest = sum(len(b.text) for i, b in enumerate(document.blocks) if i not in gone and b.type != "heading")
    told = sum(len(document.blocks[i].text) for i in gone)
    return without_blocks(document, gone) if rest > told else document


def _told(blocks: tuple[Block, ...]) -> Iterator[int]:
    """The places of paragraphs that are a licence; headings and other short lines may stand above it."""
    has_begun = False
    for i, block in enumerate(blocks):
        if block.type == "heading":
            if has_begun or ABOUT.search(block.text):
                return
            continue
        if block.type not in ("paragraph", "list", "code"):
            return
        words = " ".join(MARKS.sub("", block.text).split())
        if (has_begun or BEGINS.match(words)) and _is_notice(block.text):
            has_begun = True
            yield i
        elif has_begun or len(words) > 200:
            return


def _is_notice(text: str) -> bool:
    """Whether each sentence is a licence's."""
    sentences = (part.casefold() for part in SENTENCE.split(MARKS.sub("", text)) if any(c.isalpha() for c in part))
    return all("©" in s or "(c)" in s or any(word in s for word in GOES_ON) for s in sentences)
