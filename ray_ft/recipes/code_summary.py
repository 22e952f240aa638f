"""Code summary recipe: what a function does asks, its source answers."""

from dataclasses import dataclass
from typing import ClassVar

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.code_worth import MIN_SUMMARY, is_plain, tells
from ray_ft.recipes.chunking.functions import dedented, definition_spans, whole_chunks
from ray_ft.recipes.chunking.summaries import summary_of, with_more
from ray_ft.recipes.grounding.check import missing_detail
from ray_ft.recipes.questions.from_structure import QuestionAnswer
from ray_ft.rows import Chunk, CountTokens, Document, Example, Generate, Origin
from ray_ft.words import num_words


@RECIPES.register("code_summary")
@dataclass(frozen=True)
class CodeSummary(Recipe):
    """Summary -> source of a function or method.

    The summary is the first paragraph of the docstring; an engine writes one for functions that have none, and it is
    dropped when it names what the code does not. Functions longer than a chunk are left to code_raw: half a function
    is no answer.
    """

    name: str = "code_summary"
    max_chunk_tokens: int = 512
    """Longest function, in tokens of the model's tokenizer; longer ones give no example."""

    handles_code: ClassVar[bool] = True

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        functions = [d for d in document.definitions if d.kind != "class" and not d.is_trivial]
        spans = [
            span
            for d, span in zip(functions, definition_spans(document, functions), strict=True)
            if (tells(document, d, told) if (told := span.metadata.get("docstring")) else not is_plain(document, d))
        ]
        return whole_chunks(
            document, spans, recipe=self.name, max_tokens=self.max_chunk_tokens, count_tokens=count_tokens
        )

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        silent = [c for c in chunks if not c.metadata.get("docstring")] if generate is not None else []
        written = generate([_request(c) for c in silent]) if generate is not None and silent else []
        summaries = {c.id: text for c, text in zip(silent, written, strict=True)}
        made = [e for c in chunks if (e := self._example(c, summaries.get(c.id))) is not None]
        return list({e.prompt: e for e in reversed(made)}.values())[::-1]  # of overloads that are told alike the first

    def questions(self, chunks: list[Chunk]) -> list[tuple[Chunk, QuestionAnswer]]:
        """Evaluation questions in other words than the training examples, for functions that say what they do."""
        found = []
        for c in (c for c in chunks if c.metadata.get("docstring")):
            summary = summary_of(c.metadata["docstring"])
            asked = f"How is the {c.metadata['kind']} `{c.metadata['name']}` ({c.metadata['path']}) written? {summary}"
            found.append((c, QuestionAnswer(f"{asked} Answer with its code.", dedented(c.text), "implement")))
        return found

    def _example(self, chunk: Chunk, generated: str | None) -> Example | None:
        origin: Origin = "extractive"
        dropped = ""
        summary = with_more(chunk.metadata.get("docstring", ""), chunk.metadata["name"])
        if generated is not None:
            origin = "generated"
            summary = generated.strip().split("\n\n")[0]
            dropped = "" if summary else "engine wrote no summary"
            if missing_detail(summary, chunk.text):
                dropped = "summary names what the code does not"
        if not dropped and num_words(summary) < MIN_SUMMARY:
            return None
        prompt = (
            f"Write the {chunk.metadata['kind']} `{chunk.metadata['name']}` of {chunk.metadata['path']}. "
            + " ".join(summary.split())
        )
        source = dedented(chunk.text)
        return Example(prompt, source, chunk.id, chunk.document_id, self.name, origin, dropped)


def _request(chunk: Chunk) -> str:
    return f"Say in one sentence what this {chunk.metadata['kind']} does. Write nothing else.\n\n{chunk.text}"
