"""What every recipe answers: how a document is cut into chunks, and how chunks become training examples."""

from dataclasses import dataclass
from typing import ClassVar

from ray_ft.recipes.chunking.chunks import make_passages
from ray_ft.registry import Registry
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate


@dataclass(frozen=True)
class Recipe:
    """How a document becomes training examples. Pure: the same document and settings give the same examples."""

    name: str = ""
    """The recipe's name in the registry."""
    max_chunk_tokens: int = 256
    """Longest chunk, in tokens of the model's tokenizer; longer passages are cut at sentence or line ends."""
    overlap_tokens: int = 0
    """Tokens that a passage repeats from the one before, where a section is cut in two; at most half of the longest."""
    weight: float = 1.0
    """How often an epoch shows each training example: 2 shows it twice, 0.5 a drawn half of them once."""

    handles_code: ClassVar[bool] = False
    """True: takes source code; False: takes documents."""

    def applies_to(self, document: Document) -> bool:
        """Whether this recipe takes this document at all; a mixed folder goes through several recipes."""
        return bool(document.language) == self.handles_code

    def problems(self) -> tuple[tuple[str, object, str], ...]:
        """Values that cannot work, as (key, what was given, what it must be); types and least values are checked."""
        return ()

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        """Cut the document into passages of at most `max_chunk_tokens`; here all of it, by sections or definitions."""
        return make_passages(
            document,
            recipe=self.name,
            max_tokens=self.max_chunk_tokens,
            count_tokens=count_tokens,
            overlap_tokens=self.overlap_tokens,
        )

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        """Turn passages into examples; `generate` is None when no engine was configured."""
        raise NotImplementedError


RECIPES: Registry[Recipe] = Registry("recipe")
