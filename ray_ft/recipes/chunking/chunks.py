"""A document to chunks: its sections with their heading paths, passages that respect them, and spans cut to size."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import accumulate, islice
from pathlib import PurePosixPath

from ray_ft.recipes.chunking.languages import written_in
from ray_ft.recipes.chunking.pieces import (
    CODE,
    PROSE,
    SENTENCES,
    blocks_to_keep,
    cut_span,
    exact_counter,
    overlap_start,
    span_counter,
    split_span,
)
from ray_ft.rows import Block, Chunk, CountTokens, Document

ENDS = tuple('.!?:;…。！？：；।။|`")”’»')
AROUND = 1500  # characters in which sentences end, if they do in this text
POINTS_ON = re.compile(
    r"\b(?:examples?|below|following|follows|like (?:this|so)|here(?: is|'s|’s| are)|looks? like)\b", re.I
)
MAX_NAME = 60  # characters of a line that may name what follows it
OPEN_TOO = (*ENDS, ",", "|")
NEAR = 160  # characters before a listing in which words point at it
SMALL_FRACTION = 0.25  # passages below this share of the budget are joined to a neighbour when both fit
LINK = re.compile(r"!?\[([^\[\]]*+)\](?:\([^)\[]*+\)|\[[^\[\]]*+\])")
MARKS = re.compile(r"[`*]+|\{#[^{}]*+\}|(?<!\w)_++|(?<!_)_++(?!\w)")


@dataclass(frozen=True)
class Span:
    """A stretch of a document that wants to be a chunk."""

    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it up to the next heading; `heading` is None before the first one."""

    path: tuple[str, ...]
    heading: Block | None
    blocks: tuple[Block, ...]
    start: int  # offset of the heading's first line
    body_start: int
    end: int


def document_title(document: Document) -> str:
    """The title that a reader would name: given by the document, its first top heading, or the file's name."""
    if document.metadata.get("title"):
        return clean_title(document.metadata["title"])
    headings = [b for b in document.blocks if b.type == "heading"]
    if headings and headings[0].level == min(h.level for h in headings):
        return clean_title(headings[0].text)
    return PurePosixPath(document.path).name


def sections(document: Document) -> list[Section]:
    """Sections in order, empty ones included; without headings the whole document is one."""
    line_starts = [0, *accumulate(len(line) + 1 for line in document.text.split("\n"))][:-1]
    found: list[Section] = []
    stack: list[Block] = []
    heading: Block | None = None
    blocks: list[Block] = []
    title = document_title(document)

    def close() -> None:
        if heading is None and not blocks:
            return
        path = tuple(clean_title(h.text) for h in stack) or (title,)
        starts = line_starts[(heading or blocks[0]).line_start - 1]
        body_start = line_starts[blocks[0].line_start - 1] if blocks else (heading or blocks[0]).end
        end = blocks[-1].end if blocks else max((heading or blocks[0]).end, _line_end(document, line_starts, heading))
        found.append(Section(path, heading, tuple(blocks), starts, body_start, end))

    for block in document.blocks:
        if block.type != "heading":
            blocks.append(block)
            continue
        close()
        stack = [h for h in stack if h.level < block.level] + [block]
        heading, blocks = block, []
    close()
    return found


@lru_cache(maxsize=4096)
def clean_title(text: str) -> str:
    """A heading without markup: backticks, emphasis and link targets."""
    return " ".join(MARKS.sub("", LINK.sub(r"\1", text)).split())


@lru_cache(maxsize=64)
def file_name(path: str) -> str:
    """The last part of a path; most passages that are looked at in a row are of one file."""
    return PurePosixPath(path).name


def titled(chunk: Chunk, text: str = "") -> str:
    """A passage, or what is shown of it, below the path of its headings."""
    shown = text or chunk.text
    return f"{' > '.join(chunk.heading_path)}\n\n{shown}" if chunk.heading_path else shown


def has_one_title(document: Document) -> bool:
    """Whether a document has a title: not where several headings stand at the top, such as a manual's chapters."""
    if document.metadata.get("title"):
        return True
    levels = [b.level for b in document.blocks if b.type == "heading"]
    return not levels or levels.count(min(levels)) == 1


def make_passages(
    document: Document, *, recipe: str, max_tokens: int, count_tokens: CountTokens, overlap_tokens: int = 0
) -> list[Chunk]:
    """The document from end to end in chunks that keep to sections (prose) or definitions (code).

    A small section is joined to its neighbour, where neither was cut; the heading path of the result is what both have
    in common. Tables and code blocks of prose stay whole where they fit. Where a section is cut, the next chunk begins
    with up to `overlap_tokens` of the one before, and says in `metadata["overlap"]` how many characters they share.
    """
    cut = partial(_passages, document, max_tokens, count_tokens, overlap_tokens)
    once = getattr(count_tokens, "once", None)  # of a counter that remembers what was cut with it
    chunks: list[Chunk] = cut() if once is None else once(document, (max_tokens, overlap_tokens), cut)
    return [
        Chunk(
            f"{c.document_id}#{recipe}-{i}",
            c.document_id,
            c.text,
            c.num_tokens,
            c.heading_path,
            c.start,
            c.end,
            dict(c.metadata),
        )
        for i, c in enumerate(chunks)
    ]


def _passages(document: Document, max_tokens: int, count_tokens: CountTokens, overlap_tokens: int) -> list[Chunk]:
    """`make_passages`, before any recipe gives them its name."""
    boundaries, whole = (CODE, []) if document.language else (PROSE, blocks_to_keep(document))
    if document.language:
        units: list[tuple[int, int, tuple[str, ...]]] = [(b.start, b.end, (document.path,)) for b in document.blocks]
    else:
        units = _with_headings_above(sections(document))
    count = span_counter(document.text, count_tokens)  # what comes out is counted exactly, as chunks are made of it
    pieces: list[tuple[int, int, int, tuple[str, ...]]] = []
    parts: set[int] = set()  # where the pieces begin of a section that was cut: they stay apart from other sections
    continued: set[int] = set()  # where a unit goes on that was cut
    for start, end, path in units:
        found = cut_span(document.text, start, end, max_tokens - overlap_tokens, count, boundaries, whole)
        pieces += [(a, b, n, path) for a, b, n in found]
        continued |= {a for a, _, _ in found[1:]}
        parts |= {a for a, _, _ in found} if len(found) > 1 and not document.language else set()
    small = max_tokens if document.language else SMALL_FRACTION * max_tokens
    joined: list[tuple[int, int, int, tuple[str, ...]]] = []
    for start, end, num_tokens, path in pieces:
        fits = joined and min(num_tokens, joined[-1][2]) < small and joined[-1][2] + num_tokens + 1 <= max_tokens
        if fits and not parts & {joined[-1][0], start}:
            total = count(joined[-1][0], end)
            shared = () if _parted(document, joined[-1][1], start) else common_path(joined[-1][3], path)
            if total <= max_tokens and shared:
                joined[-1] = (joined[-1][0], end, total, shared)
                continue
        joined.append((start, end, num_tokens, path))
    spans = [Span(start, end, path) for start, end, _, path in joined]
    for i in range(1, len(spans)) if overlap_tokens else ():
        if spans[i].start in continued:
            spans[i] = _overlapping(document.text, joined[i - 1], spans[i], max_tokens, overlap_tokens, count_tokens)
    return make_chunks(document, spans, recipe="", max_tokens=max_tokens, count_tokens=count_tokens)


def _with_headings_above(found: list[Section]) -> list[tuple[int, int, tuple[str, ...]]]:
    """(start, end, path) of sections; a heading right above another one goes with what stands below both."""
    units: list[tuple[int, int, tuple[str, ...]]] = []
    above: int | None = None
    for i, section in enumerate(found):
        start = section.start if above is None else above
        following = found[i + 1].path if i + 1 < len(found) else ()
        is_above = following[: len(section.path)] == section.path != following
        above = start if is_above and not section.blocks else None
        if above is None:
            units.append((start, section.end, section.path))
    return units


def make_chunks(
    document: Document,
    spans: Iterable[Span],
    *,
    recipe: str,
    max_tokens: int,
    count_tokens: CountTokens,
    overlap_tokens: int = 0,
) -> list[Chunk]:
    """Chunks of the spans, in order; a span that is too long becomes several, numbered in `metadata["part"]`.
    `metadata["torn"]` says of what it is a part that means nothing by itself, such as a listing or a sentence. A
    document without a title of its own has its file's name in `metadata["file"]`.

    Each of these begins with up to `overlap_tokens` of the one before; how many characters says `metadata["overlap"]`.
    """
    boundaries, whole = (CODE, []) if document.language else (PROSE, blocks_to_keep(document))
    chunks: list[Chunk] = []
    starts = [b.start for b in document.blocks]
    exactly = exact_counter(document.text, count_tokens)
    untitled = {} if document.language or has_one_title(document) else {"file": PurePosixPath(document.path).name}
    told = written_in(document)
    for span in spans:
        pieces = split_span(
            document.text, span.start, span.end,
            max_tokens=max_tokens, count_tokens=count_tokens, boundaries=boundaries, whole=whole,
        )  # fmt: skip
        if len(pieces) > 1 and overlap_tokens:
            pieces = split_span(
                document.text, span.start, span.end,
                max_tokens=max_tokens - overlap_tokens, count_tokens=count_tokens, boundaries=boundaries, whole=whole,
            )  # fmt: skip
        previous = -1
        several = len(pieces) > 1
        for part, (start, end, num_tokens) in enumerate(pieces, start=1):
            parts = {"part": str(part), "parts": str(len(pieces))} if several else {}
            if not document.language and (torn := _torn(document, starts, start, end)):
                parts["torn"] = torn
            if part > 1 and overlap_tokens:
                first = pieces[part - 2][0]
                begin = overlap_start(document.text, first, start, max_tokens=overlap_tokens, count_tokens=count_tokens)
                if begin < previous and (total := exactly(begin, end)) <= max_tokens:
                    start, num_tokens = begin, total
                    parts["overlap"] = str(previous - begin)
            previous = end
            chunks.append(
                Chunk(
                    id=f"{document.id}#{recipe}-{len(chunks)}",
                    document_id=document.id,
                    text=document.text[start:end],
                    num_tokens=num_tokens,
                    heading_path=span.heading_path,
                    start=start,
                    end=end,
                    metadata={"path": document.path, **told, **untitled, **span.metadata, **parts},
                )
            )
    return chunks


def _torn(document: Document, starts: Sequence[int], start: int, end: int) -> str:
    """Of what a piece is a part that says nothing alone: a listing, table, item or sentence; "" for none.

    Without the words above it a listing does not say what it shows, and they say little without it. Rows of a table
    say little without the first, which names the columns.
    """
    text = document.text
    if kind := _torn_block(document, starts, start, end):
        return kind
    before, behind = text[max(0, start - 8) : start].rpartition("\n")[2], text[end : end + 8].partition("\n")[0]
    begins = before[-1:].isspace() and not before.isspace() and not before.rstrip().endswith(ENDS)
    stops = behind[:1].isspace() and not behind.isspace() and text[end - 1] not in ENDS
    is_low, above = text[start:end].lstrip()[:1].islower(), text[max(0, start - AROUND) : start].rstrip()
    begins = begins or (is_low and (text[start].isspace() or above.endswith("```") or _is_open(above)))
    stops = stops or (text[end : end + AROUND].lstrip()[:1].islower() and _is_open(text[start:end]))
    if not begins and not stops:
        return ""
    around = SENTENCES.finditer(text, max(0, start - AROUND), end + AROUND)
    return "sentence" if len(list(islice(around, 2))) == 2 else ""  # others have no marks between sentences


def _torn_block(document: Document, starts: Sequence[int], start: int, end: int) -> str:
    """Of which block a piece holds a part that says nothing alone, or does not hold what belongs to it."""
    text, blocks = document.text, document.blocks
    first, last = max(0, bisect_right(starts, start) - 1), max(0, bisect_right(starts, end - 1) - 1)
    if not blocks:
        return ""
    above, begun = blocks[first - 1] if first else None, text[blocks[first].start : start].strip()
    if start < blocks[first].end:
        if blocks[first].type == "table" and begun:
            return "table"
        if begun and text[start].isspace() and not text[blocks[first].start].isspace():
            return blocks[first].type  # of an item or a definition
        if blocks[first].type == "code" and (begun or (above is not None and above.type in ("paragraph", "list"))):
            return "listing"
    if blocks[last].type == "code" and text[end : blocks[last].end].strip():
        return "listing"
    goes_on = last + 1 < len(blocks) and not text[end : blocks[last + 1].start].strip()
    is_above = goes_on and (blocks[last].type, blocks[last + 1].type) == ("paragraph", "code")
    return "listing" if is_above and POINTS_ON.search(text, max(blocks[last].start, end - NEAR), end) else ""


def _is_open(text: str) -> bool:
    """Whether a text ends with a long line that ends no sentence: a page ended there, or a column."""
    last = text.rstrip().rpartition("\n")[2]
    return len(last) > MAX_NAME and not last.endswith(OPEN_TOO)


def _parted(document: Document, end: int, start: int) -> bool:
    """Whether something stands between two pieces of code that is in no block, as a licence."""
    return bool(document.language) and not document.text[end:start].isspace() and end < start


def _overlapping(
    text: str,
    before: tuple[int, int, int, tuple[str, ...]],
    span: Span,
    max_tokens: int,
    overlap_tokens: int,
    count_tokens: CountTokens,
) -> Span:
    """A span that begins with the end of the one before, if both fit."""
    begin = overlap_start(text, before[0], span.start, max_tokens=overlap_tokens, count_tokens=count_tokens)
    if begin >= before[1] or exact_counter(text, count_tokens)(begin, span.end) > max_tokens:
        return span
    return Span(begin, span.end, span.heading_path, {"overlap": str(before[1] - begin)})


def _line_end(document: Document, line_starts: list[int], heading: Block | None) -> int:
    """Offset after a heading's last line, which may be its underline."""
    if heading is None or heading.line_end >= len(line_starts):
        return len(document.text)
    return line_starts[heading.line_end] - 1


def common_path(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    """The common beginning of two paths; paths that share nothing stay apart."""
    shared: list[str] = []
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        shared.append(x)
    return tuple(shared)
