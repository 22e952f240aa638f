"""Raw code recipe: whole files, for continued pre-training."""

from dataclasses import dataclass
from typing import ClassVar

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.headings import make_passages
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate


@RECIPES.register("code_raw")
@dataclass(frozen=True)
class CodeRaw(Recipe):
    """Plain language modelling on source files, cut between definitions where a file is longer than a chunk."""

    name: str = "code_raw"
    max_chunk_tokens: int = 1024
    """Longest chunk, in tokens of the model's tokenizer; cut between definitions, then between lines."""

    handles_code: ClassVar[bool] = True

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        return make_passages(
            document,
            recipe=self.name,
            max_tokens=self.max_chunk_tokens,
            count_tokens=count_tokens,
            overlap_tokens=self.overlap_tokens,
        )

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        return [Example("", c.text, c.id, c.document_id, self.name) for c in chunks]
