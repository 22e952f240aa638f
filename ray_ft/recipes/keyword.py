"""Keyword recipe: the keywords of a passage ask, the passage answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import titled
from ray_ft.recipes.chunking.worth import below_its_heading, num_rows, worth_it
from ray_ft.recipes.questions.subjects import MIN_SUBJECTS, common_words, subjects
from ray_ft.recipes.questions.wordings import wording_of
from ray_ft.recipes.terms.of_document import terms_of_passages
from ray_ft.rows import Chunk, Example, Generate

MIN_WORDS = 30  # of a passage that keywords can ask for


@RECIPES.register("keyword")
@dataclass(frozen=True)
class Keyword(Recipe):
    """Keywords -> passage; tables, and passages with hardly any that name their subject, give nothing."""

    name: str = "keyword"
    max_keywords: int = 6
    """Keywords in the prompt, at most."""
    with_headings: bool = False
    """Begin each passage with the path of its headings, which the model then learns to write too."""

    def examples(self, chunks: list[Chunk], generate: Generate | None) -> list[Example]:
        common, terms = common_words(chunks), terms_of_passages(chunks)
        prose = ((c, text) for c, text in worth_it(chunks, min_words=MIN_WORDS) if not num_rows(text))
        found = [(c, text, subjects(c, self.max_keywords, common, terms.get(c.id, {}))) for c, text in prose]
        return [
            Example(_prompt(c, words), self._shown(c, text), c.id, c.document_id, self.name)
            for c, text, words in found
            if len(words) >= min(MIN_SUBJECTS, self.max_keywords)
        ]

    def _shown(self, chunk: Chunk, text: str) -> str:
        return titled(chunk, text) if self.with_headings else below_its_heading(chunk, text)


def _prompt(chunk: Chunk, words: Sequence[str]) -> str:
    wording = wording_of(chunk)
    return wording.keyword.format(topics=wording.comma.join(words))
