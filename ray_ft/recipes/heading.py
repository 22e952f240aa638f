"""Heading recipe: the heading path asks, the section answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import Span, make_chunks, sections
from ray_ft.recipes.chunking.worth import as_read, is_worth_it
from ray_ft.recipes.questions.topics import first_words, own_topics, says_something
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate
from ray_ft.words import num_words

MIN_WORDS = 5  # a shorter body is a link or a leftover
MIN_WORDS_UNNAMED = 15  # below a heading that says nothing by itself, such as “Name” and “See also”


@RECIPES.register("heading")
@dataclass(frozen=True)
class Heading(Recipe):
    """Heading path -> section body; documents without headings give nothing.

    A section that is too long for one example becomes several, each asked for by its own topic.
    """

    name: str = "heading"

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        spans = [
            Span(s.body_start, s.end, s.path)
            for s in sections(document)
            if s.heading is not None and num_words(document.text[s.body_start : s.end]) >= MIN_WORDS and s.blocks
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
            Example(q, as_read(c.text), c.id, c.document_id, self.name)
            for c, q in zip(chunks, _prompts(chunks), strict=True)
            if is_worth_it(c, min_words=MIN_WORDS if says_something(c.heading_path[-1]) else MIN_WORDS_UNNAMED)
        ]


def _prompts(chunks: list[Chunk]) -> Iterator[str]:
    """The path of headings asks for a section; where it is in several passages, the topic of each asks for it."""
    for _, group in groupby(chunks, key=lambda c: (c.heading_path, "part" in c.metadata)):
        passages = list(group)
        own = own_topics(passages) if "part" in passages[0].metadata else {}
        for chunk in passages:
            section = f"the section “{' > '.join(chunk.heading_path)}” of {chunk.metadata['path']}"
            if "part" not in chunk.metadata:
                yield f"Write {section}."
            elif topic := own[chunk.id]:
                yield f"Write what {section} says about “{topic}”."
            else:
                yield f"Write the passage of {section} that begins with “{first_words(chunk)}”."
