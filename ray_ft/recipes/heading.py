"""Heading recipe: the heading path asks, the section answers."""

from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import Span, make_chunks, sections
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate
from ray_ft.words import num_words

MIN_WORDS = 5  # a shorter body is a link or a leftover


@RECIPES.register("heading")
@dataclass(frozen=True)
class Heading(Recipe):
    """Heading path -> section body; documents without headings give nothing."""

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
        return [Example(_prompt(c), c.text, c.id, c.document_id, self.name) for c in chunks]


def _prompt(chunk: Chunk) -> str:
    part = chunk.metadata.get("part")
    suffix = f" (part {part} of {chunk.metadata['parts']})" if part else ""
    return f"Write the section “{' > '.join(chunk.heading_path)}” of {chunk.metadata['path']}{suffix}."
