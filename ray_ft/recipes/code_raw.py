"""Raw code recipe: whole files, for continued pre-training, or with a hole that the model learns to fill."""

import random
from dataclasses import dataclass
from typing import ClassVar

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.rows import Chunk, Example, Generate


@RECIPES.register("code_raw")
@dataclass(frozen=True)
class CodeRaw(Recipe):
    """Plain language modelling on source files, cut between definitions where a file is longer than a chunk."""

    name: str = "code_raw"
    max_chunk_tokens: int = 1024
    """Longest chunk, in tokens of the model's tokenizer; cut between definitions, then between lines."""
    fim_fraction: float = 0.0
    """Fraction of the chunks whose middle is written last (arXiv 2207.14255), for models that complete in editors."""
    fim_tokens: tuple[str, ...] = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    """Special tokens of the tokenizer that stand before the beginning, the end and the middle."""

    handles_code: ClassVar[bool] = True

    def problems(self) -> tuple[tuple[str, object, str], ...]:
        found: list[tuple[str, object, str]] = []
        if not 0 <= self.fim_fraction <= 1:
            found.append(("fim_fraction", self.fim_fraction, "in [0, 1]"))
        if len(set(self.fim_tokens)) != 3 or not all(self.fim_tokens):
            found.append(("fim_tokens", list(self.fim_tokens), "three different tokens"))
        return tuple(found)

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        return [self._example(c) for c in chunks]

    def _example(self, chunk: Chunk) -> Example:
        """The chunk as it is, or, by the lot of its id, with its middle at the end."""
        lot = random.Random(f"fim:{chunk.id}")
        is_plain = lot.random() >= self.fim_fraction or any(token in chunk.text for token in self.fim_tokens)
        if is_plain or len(chunk.text) < 3:
            return Example("", chunk.text, chunk.id, chunk.document_id, self.name)
        first, last = sorted(lot.sample(range(len(chunk.text) + 1), 2))
        parts = (chunk.text[:first], chunk.text[last:], chunk.text[first:last])
        text = "".join(mark + part for mark, part in zip(self.fim_tokens, parts, strict=True))
        return Example("", text, chunk.id, chunk.document_id, self.name, marks=self.fim_tokens)
