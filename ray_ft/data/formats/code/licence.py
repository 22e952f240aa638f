"""The licence at the head of a source file, which is no content: every file of a project begins with the same words.

What stands in one comment with it and says something of the file stays.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from ray_ft.rows import Block

MAX_HEAD = 12_000  # characters in which a header ends; the longest licences have some 2,000
MAX_COMMENTS = 4  # at the head of a file
BEFORE = re.compile(
    r"#!|<\?php|<\?xml|#[ \t]*-\*-|#.{0,20}\bcoding[:=]|[\"']use strict[\"'];?$|/[/*][ \t]*(?:eslint|@flow|jshint)"
)
LINE_MARK = re.compile(
    r"[ \t]*+(?:#(?!!|\[|[ \t]*+(?:include|if|define|pragma|import)\b)|//|--|;|%|@rem\b|rem\b)", re.IGNORECASE
)
BLOCK_OPEN, BLOCK_CLOSE = (
    re.compile(r"[ \t]*+(?:/\*|<!--|\(\*|\{-|--\[\[|=begin\b)"),
    re.compile(r"\*/|-->|\*\)|-\}|\]\]|^[ \t]*+=end\b", re.MULTILINE),
)
WORD = re.compile(r"[^\W_]")
CERTAIN = re.compile(
    r"\bcopyright\b|©|\bspdx-|\blicen[cs]ed (?:under|to)\b|\ball rights reserved\b|\bpermission is hereby granted\b"
    r"|\bunder the terms of\b|\bpublic domain\b|\bsubject to the (?:terms|conditions)\b"
)  # of a comment that holds a licence, in lower case
TOLD = (
    "copyright", "©", "(c) 1", "(c) 2", "spdx-", "licens", "licenc", "warrant", "redistribut", "permission", "as is",
    "as-is", "all rights reserved", "liable", "liability", "notice and this", "merchantab", "gnu.org", "free software",
    "you may obtain a copy", "following conditions", "public domain", "unless required by", "the software", "@author",
    "authors:", "author:", "all contributors", "see the authors",
)  # fmt: skip
"""Words of its paragraphs, in lower case."""
HINTS = ("copyright", "©", "spdx-", "licens", "all rights reserved", "permission is", "under the terms",
         "public domain", "subject to the")  # fmt: skip


class Stretch(NamedTuple):
    """Characters start <= i < end of a text; whole lines."""

    start: int
    end: int


def licence_of(text: str) -> tuple[Stretch, ...]:
    """The lines of licences in the comments that a source file begins with."""
    head = text[:MAX_HEAD]
    comments = tuple(_comments(head))
    found = tuple(
        Stretch(run.start + start, run.start + end)
        for run in comments
        for start, end in (_told(head[run.start : run.end]) if _may_tell(head, run) else ())
    )
    # What stands above it are marks for machines.
    is_first = found and not any(run.start < found[0].start for run in comments)
    return (found[0]._replace(start=0), *found[1:]) if is_first else found


def _may_tell(head: str, run: Stretch) -> bool:
    low = head[run.start : run.end].lower()
    return any(hint in low for hint in HINTS)


@lru_cache(maxsize=256)
def _told(comment: str) -> tuple[Stretch, ...]:
    """The lines of a comment that are a licence's; kept, since all files of a project begin with the same."""
    return tuple(_paragraphs(comment)) if CERTAIN.search(comment.lower()) is not None else ()


def without(blocks: Iterable[Block], stretches: tuple[Stretch, ...], text: str) -> Iterator[Block]:
    """The blocks without some lines; the first of them may fall apart."""
    for block in blocks:
        if not stretches or block.start >= stretches[-1].end:
            yield block
            continue
        start = block.start
        for cut in (*stretches, Stretch(block.end, block.end)):
            if cut.end <= start:
                continue
            yield from _part(block, start, min(max(cut.start, start), block.end), text)
            start = max(start, cut.end)


def _part(block: Block, start: int, end: int, text: str) -> Iterator[Block]:
    """What of a block is left between two places, without blank lines around it."""
    words = text[start:end]
    if not _has_words(words) and (start, end) != (block.start, block.end):
        return
    start += len(words) - len(words.lstrip("\n"))
    end -= len(words) - len(words.rstrip())
    first = block.line_start + text.count("\n", block.start, start)
    last = first + text.count("\n", start, end)
    yield replace(block, text=text[start:end], start=start, end=end, line_start=first, line_end=last)


def _comments(head: str) -> Iterator[Stretch]:
    """The comments at the beginning, each as a run of whole lines."""
    position, number = 0, 0
    begin: int | None = None
    is_block, close = False, 0  # and where a block ends
    for line in _lines(head):
        start, position = position, position + len(line)
        if begin is not None and is_block:
            if close < position:
                yield Stretch(begin, position)
                begin, number = None, number + 1
            continue
        plain = line.strip()
        if begin is not None and not LINE_MARK.match(line):
            yield Stretch(begin, start)
            begin, number = None, number + 1
        if number >= MAX_COMMENTS:
            return
        if begin is None and plain and not BEFORE.match(plain):
            is_block = BLOCK_OPEN.match(line) is not None
            if is_block and BLOCK_CLOSE.search(plain[2:]):
                yield Stretch(start, position)
                number += 1
            elif is_block or LINE_MARK.match(line):
                begin = start
                ends = BLOCK_CLOSE.search(head, position) if is_block else None
                close = ends.end() - 1 if ends is not None else len(head)
            else:
                return
    if begin is not None and not is_block:
        yield Stretch(begin, position)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text one by one, since few are looked at."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _paragraphs(comment: str) -> Iterator[Stretch]:
    """The paragraphs of a comment that are the licence's; all of it where no other has words."""
    parts: list[tuple[Stretch, bool]] = []
    position = start = 0
    for line in comment.splitlines(keepends=True):
        position += len(line)
        if not _has_words(line) or position == len(comment):
            parts.append((Stretch(start, position), _is_told(comment[start:position].lower())))
            start = position
    said = [told for stretch, told in parts if _has_words(comment[stretch.start : stretch.end])]
    yield from [Stretch(0, len(comment))] if all(said) else [stretch for stretch, told in parts if told]


def _is_told(paragraph: str) -> bool:
    return any(word in paragraph for word in TOLD)


def _has_words(line: str) -> bool:
    return WORD.search(line) is not None
