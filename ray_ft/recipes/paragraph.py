"""Paragraph recipe: passages as they are, for continued pre-training."""

from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import titled
from ray_ft.recipes.chunking.worth import as_read, worth_it
from ray_ft.rows import Chunk, Example, Generate


@RECIPES.register("paragraph")
@dataclass(frozen=True)
class Paragraph(Recipe):
    """Plain language modelling on passages; the paper's raw recipe."""

    name: str = "paragraph"
    with_headings: bool = False
    """Begin each passage with the path of its headings, which the model then learns to write too."""

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        texts = [(c, as_read(titled(c) if self.with_headings else c.text)) for c in worth_it(chunks)]
        return [Example("", text, c.id, c.document_id, self.name) for c, text in texts]
