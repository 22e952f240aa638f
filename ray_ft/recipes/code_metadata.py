"""Code metadata recipe: everything that is written about a piece of code asks, the code answers."""

import textwrap
from dataclasses import dataclass
from typing import ClassVar

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.code_worth import is_worth
from ray_ft.recipes.chunking.functions import dedented, definition_spans, whole_chunks
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate

LABELS = {
    "enclosing": "Enclosing class",
    "imports": "Imports",
    "signature": "Signature",
    "docstring": "Docstring",
    "calls": "Uses",
    "callers": "Used by",
    "comments": "Comments",
}


@RECIPES.register("code_metadata")
@dataclass(frozen=True)
class CodeMetadata(Recipe):
    """Imports, enclosing class, signature, docstring, comments, callers -> source of a function, method or class.

    Definitions longer than a chunk are left to code_raw; the methods of a long class are taken one by one.
    """

    name: str = "code_metadata"
    max_chunk_tokens: int = 512
    """Longest definition, in tokens of the model's tokenizer; longer ones give no example."""

    handles_code: ClassVar[bool] = True

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        definitions = [d for d in document.definitions if not d.is_trivial]
        spans = [
            span
            for d, span in zip(definitions, definition_spans(document, definitions, with_context=True), strict=True)
            if is_worth(document, d, span.metadata)
        ]
        return whole_chunks(
            document, spans, recipe=self.name, max_tokens=self.max_chunk_tokens, count_tokens=count_tokens
        )

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        return [Example(_prompt(c), dedented(c.text), c.id, c.document_id, self.name, "extractive") for c in chunks]


def _prompt(chunk: Chunk) -> str:
    known = chunk.metadata
    lines = [f"Write the {known['kind']} `{known['name']}` of {known['path']}."]
    for key, label in LABELS.items():
        value = known.get(key, "")
        if value:
            lines.append(f"{label}: {value}" if "\n" not in value else f"{label}:\n{textwrap.indent(value, '  ')}")
    return "\n".join(lines)
