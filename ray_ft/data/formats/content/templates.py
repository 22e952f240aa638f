"""Templates of pages are no documents: what of a text Jinja, Django, Twig, Handlebars, ERB and their like fill in."""

import re

from ray_ft.words import num_words

BEGINS = re.compile(
    r"\s*+(?:\{%[-+~]?\s*+(?:extends|load|block|from|import|macro|set|use|layout|comment)\b|\{\{[-~]?\s*+(?:define|template|#|>)"
    r"|<%@|<%[-=#]?\s|\{#|<#(?:macro|import|include|assign|ftl)\b|\{extends\s|@extends\(|@layout\b)"
)
STATEMENT = re.compile(
    r"\{%[-+~]?\s*+\w|\{\{[-~]?[#/^>!]|\{\{[-~]?\s*+(?:end|if|else|range|with|template|block|define)\b|<%"
    r"|<#(?:if|list|else|assign|include|macro)\b|@(?:if|foreach|section|yield|include|endif|endsection)\b\s*+\("
)
EXPRESSION = re.compile(r"\{\{[-~&{]?\s*+[$\w.@(\"'|]")
SIGNS = ("{{", "{%", "<%", "{#", "<#", "@extends(", "*ng", " v-", "xmlns:th")
MIN_SIGNS, FEW_WORDS = 2, 8
MAX_WORDS_A_SIGN = 25  # of a document's words there are more to each example of a template's language
ATTRIBUTE_WEIGHT = 5


def may_be_template(text: str) -> bool:
    """Whether anything in a text has to be looked at."""
    for sign in SIGNS:  # noqa: SIM110 - a generator would take twice the time, and most texts are asked
        if sign in text:
            return True
    return False


def is_template(text: str, prose: str, *, num_attributes: int = 0, max_words_a_sign: int = MAX_WORDS_A_SIGN) -> bool:
    """Whether a text is for a program to fill in.

    `prose` is what of it is neither a listing nor code, where such signs would be examples; `num_attributes` counts
    attributes of a page that are to be filled in.
    """
    if BEGINS.match(text):
        return True
    count = ATTRIBUTE_WEIGHT * num_attributes
    count += sum(1 for pattern in (STATEMENT, EXPRESSION) for _ in pattern.finditer(prose))
    size = num_words(prose)
    return count >= (1 if size <= FEW_WORDS else MIN_SIGNS) and count * max_words_a_sign >= size
