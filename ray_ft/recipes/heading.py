"""Heading recipe: the heading path asks, the section answers."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import Section, Span, make_chunks, sections
from ray_ft.recipes.chunking.entries import finished, groups, named
from ray_ft.recipes.chunking.pieces import exact_counter
from ray_ft.recipes.chunking.pointers import says_enough
from ray_ft.recipes.chunking.worth import as_read, is_worth_it
from ray_ft.recipes.questions.orders import order_of
from ray_ft.recipes.questions.parts import begins_well, ends_in_list, own_subjects
from ray_ft.recipes.questions.topics import LISTS_CHANGES, RELEASE, is_torn, says_something
from ray_ft.recipes.questions.wordings import Wording, wording_of
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate
from ray_ft.words import num_words, script_language

MIN_WORDS = 5  # a shorter body is a link or a leftover
MIN_WORDS_UNNAMED = 15  # below a heading that says nothing by itself, such as “Name” and “See also”
MIN_WORDS_OF_CHANGE = 25  # of a release, which says more than that one thing was mended
MIN_WORDS_OF_PART = 25  # of a section that is too long for one example
MIN_PROSE = 12  # of a text that shows no listing and no table, and is no instruction


@RECIPES.register("heading")
@dataclass(frozen=True)
class Heading(Recipe):
    """Heading path -> section body; documents without headings give nothing.

    A section that is too long for one example becomes several: its beginning, entries that are asked for by their
    terms, and the passages that one phrase of their own tells apart.
    """

    name: str = "heading"

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        spans = [
            span
            for i, s in enumerate(sections(document))
            if s.heading is not None
            and num_words(document.text[s.body_start : s.end]) >= MIN_WORDS
            and s.blocks
            and (len(s.path) > 1 or says_something(s.path[0]))
            and not any(map(is_torn, s.path))
            for span in _spans(document, s, i, max_tokens=self.max_chunk_tokens, count_tokens=count_tokens)
        ]
        return make_chunks(
            document,
            spans,
            recipe=self.name,
            max_tokens=self.max_chunk_tokens,
            count_tokens=count_tokens,
            overlap_tokens=self.overlap_tokens,
        )

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        return [
            Example(ask(wording_of(c)), finished(as_read(c.text)), c.id, c.document_id, self.name)
            for c, ask in zip(chunks, _asks(chunks), strict=True)
            if ask and is_worth_it(c, min_words=_least(c)) and says_enough(c.text, min_words=_least_said(c))
        ]


def _spans(
    document: Document, section: Section, number: int, *, max_tokens: int, count_tokens: CountTokens
) -> Iterator[Span]:
    """A section that fits, or its entries and what stands between them."""
    start, end, told = section.body_start, section.end, {"section": str(number)}
    if exact_counter(document.text, count_tokens)(start, end) <= max_tokens:
        yield Span(start, end, section.path, told)
        return
    for i, group in enumerate(groups(document.text, start, end, min_words=MIN_WORDS_OF_PART)):
        of_entries = {"terms": named(group.terms)} if group.terms else {}
        yield Span(group.start, group.end, section.path, {**told, "group": str(i), **of_entries})


def _least(chunk: Chunk) -> int:
    """Words that an example needs."""
    if "group" in chunk.metadata:
        return MIN_WORDS_OF_PART
    return MIN_WORDS if says_something(chunk.heading_path[-1]) else MIN_WORDS_UNNAMED


def _least_said(chunk: Chunk) -> int:
    """Words that its text has to have beside links; a line under `Open the ramp` tells how, and few characters may."""
    if LISTS_CHANGES.search(chunk.metadata["path"]) and any(map(RELEASE.fullmatch, chunk.heading_path)):
        return MIN_WORDS_OF_CHANGE
    is_told = bool(order_of(chunk.heading_path[-1])) or script_language(chunk.text)
    return MIN_WORDS if is_told else MIN_PROSE


def _asks(chunks: list[Chunk]) -> Iterator[Callable[[Wording], str] | None]:
    """The path of headings asks for a section; of one in several parts, what tells the part; None: nothing does."""
    for _, group in groupby(chunks, key=lambda c: (c.metadata.get("section"), c.heading_path)):
        parts = list(group)
        times = Counter(part.metadata.get("terms") for part in parts if part.metadata.get("part", "1") == "1")
        subjects = own_subjects(parts) if len(parts) > 1 else {}
        for chunk in parts:
            terms, part = chunk.metadata.get("terms"), chunk.metadata.get("part", "1")
            if len(parts) == 1:
                yield partial(_prompt, chunk, "section")
            elif terms is not None:
                is_told = terms and times[terms] == 1 and part == "1"
                about = "first" if "part" in chunk.metadata else "about"
                yield partial(_prompt, chunk, about, terms=terms) if is_told else None
            elif chunk.metadata.get("group", "0") == "0" and part == "1":
                begins = begins_well(chunk.text) and not ("part" in chunk.metadata and ends_in_list(chunk.text))
                yield partial(_prompt, chunk, "beginning") if begins else None
            else:
                yield partial(_prompt, chunk, "about", subject=subjects[chunk.id]) if subjects[chunk.id] else None


def _prompt(chunk: Chunk, form: str, wording: Wording, *, terms: str = "", subject: str = "") -> str:
    told = wording.quoted.format(subject) if subject else wording.listed(terms)
    asked: str = getattr(wording, form)
    return asked.format(section=" > ".join(chunk.heading_path), path=chunk.metadata["path"], terms=told)
