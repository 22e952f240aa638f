"""Keyword recipe: the keywords of a passage ask, the passage answers."""

from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import titled
from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.chunking.worth import as_read, worth_it
from ray_ft.rows import Chunk, Example, Generate

MIN_KEYWORDS = 3  # fewer tell no passage from another


@RECIPES.register("keyword")
@dataclass(frozen=True)
class Keyword(Recipe):
    """RAKE keywords -> passage; passages with hardly any (tables of numbers, say) give nothing."""

    name: str = "keyword"
    max_keywords: int = 6
    """Keywords in the prompt, at most."""
    with_headings: bool = False
    """Begin each passage with the path of its headings, which the model then learns to write too."""

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        found = [(c, keywords(c.text, self.max_keywords)) for c in worth_it(chunks)]
        texts = {c.id: as_read(titled(c) if self.with_headings else c.text) for c, _ in found}
        return [
            Example(f"Write a passage about: {', '.join(words)}.", texts[c.id], c.id, c.document_id, self.name)
            for c, words in found
            if len(words) >= min(MIN_KEYWORDS, self.max_keywords)
        ]
