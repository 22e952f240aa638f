"""The terms of a document that is not in English: names that come again in it, with where each stands.

What is English is told by its words, whose general ones are known; of other languages the document itself has to tell
what a name is.
"""

import math
from collections import Counter
from collections.abc import Sequence

from ray_ft.recipes.chunking.keywords import NOT_PROSE
from ray_ft.recipes.chunking.languages import LISTING, told_language
from ray_ft.recipes.terms.nouns import counted, counted_korean, known, spaced_nouns
from ray_ft.recipes.terms.unspaced import times_in, unspaced_terms, without_width
from ray_ft.rows import Chunk

UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my"})
MANY = 0.3  # share of a document's passages that a term of its own subject stands in
FEW = 3  # passages that are not many, whatever share they are


def has_terms(language: str) -> bool:
    """Whether the terms of documents in a language are found."""
    return language.partition("-")[0] in UNSPACED or known(language)


def terms_of_passages(chunks: Sequence[Chunk]) -> dict[str, dict[str, int]]:
    """By id of each passage of a document: its terms and how often each stands there, those that tell it apart first.

    Terms of many passages tell none of them apart. Nothing of a document in English.
    """
    language = chunks[0].metadata.get("written_in", "") or told_language(chunks[0].text) if chunks else ""
    marked = [LISTING.sub("\n", NOT_PROSE.sub(" ", chunk.text)) for chunk in chunks] if language else []
    if language.partition("-")[0] in UNSPACED:
        terms, texts = unspaced_terms(marked, language), list(map(without_width, marked))
        counts = [{term: number for term in terms if (number := times_in(term, text))} for text in texts]
    elif known(language):
        nouns = spaced_nouns(marked, language)
        counts = [(counted_korean if language == "ko" else counted)(nouns, text) for text in marked]
    else:
        return {}
    spread = Counter(term for one in counts for term in one)
    spread = Counter({term: number for term, number in spread.items() if number <= max(FEW, MANY * len(chunks))})

    def weight(term: str, number: int) -> float:
        return number * len(term) / (1 + math.log(spread[term]))

    return {
        chunk.id: {
            term: one[term] for term in sorted(one.keys() & spread.keys(), key=lambda t: (-weight(t, one[t]), t))
        }
        for chunk, one in zip(chunks, counts, strict=True)
    }
