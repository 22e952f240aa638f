"""Paragraph recipe: passages as they are, for continued pre-training."""

from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import titled
from ray_ft.recipes.chunking.worth import below_its_heading, worth_it
from ray_ft.rows import Chunk, Example, Generate

MIN_WORDS = 20  # of a passage among others


@RECIPES.register("paragraph")
@dataclass(frozen=True)
class Paragraph(Recipe):
    """Plain language modelling on passages; the paper's raw recipe."""

    name: str = "paragraph"
    with_headings: bool = False
    """Begin each passage with the path of its headings, which the model then learns to write too."""

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        return [
            Example("", self._shown(c, text), c.id, c.document_id, self.name)
            for c, text in worth_it(chunks, min_words=MIN_WORDS)
        ]

    def _shown(self, chunk: Chunk, text: str) -> str:
        return titled(chunk, text) if self.with_headings else below_its_heading(chunk, text)
