"""No regular expression of the package takes more than linear time over any text, however it was made."""

import re

import pytest

from ray_ft.data.filters.secrets import PROVIDERS, _patterns

# Made of what is trusted, of what is short, or found as a module's constant; each with the reason why it is left out.
MADE_WHILE_RUNNING = {
    "ray_ft.data.tokenization.ascii_words": "classes of a tokenizer, which is the user's",
    "ray_ft.models.chat_text": "a tokenizer's special tokens, one beside another",
    "ray_ft.hardware.gpus": "names of GPUs",
    "ray_ft.recipes.chunking.functions": "a margin of white space",
    "ray_ft.recipes.chunking.pieces": "found as PROSE and CODE",
    "ray_ft.evaluation.scores.checks": "what a check of a question asks for, by whoever writes the exam",
    "ray_ft.words": "classes of characters, put together from Unicode's tables",
}


def test_every_pattern_takes_linear_time_over_texts_made_against_it(scripts: None) -> None:
    from bench.data.patterns import first_slow, patterns_of_package

    patterns_of_package()
    re.purge()  # as in a long run of tests: the same pattern, compiled again, is another object
    found, made_while_running = patterns_of_package()
    assert len(found) > 90
    assert {
        "ray_ft.data.formats.lightweight.markdown.parse.NOTHING_TO_READ",
        "ray_ft.data.filters.assigned.NAMED",
    } <= found.keys()
    assert {place.partition(":")[0] for place in made_while_running} <= set(MADE_WHILE_RUNNING)
    slow = {name: text for name, expression in found.items() if (text := first_slow(expression))}
    assert not slow


def test_the_patterns_of_detect_secrets_that_are_asked_take_linear_time(scripts: None) -> None:
    from bench.data.patterns import Expression, first_slow

    patterns = [pattern for kind in PROVIDERS for pattern in _patterns(kind)]
    assert len(patterns) > 20
    assert not [p.pattern for p in patterns if first_slow(Expression(p, ("finditer",)))]


@pytest.mark.parametrize(
    ("pattern", "is_slow"),
    [
        (r"(?:a|a)*b", True),  # exponential
        (r"(?:\s|<!--.*?-->)*x", True),
        (r"\[[^\]]*\]\(", True),
        (r"(?<!\s)\s++$", False),
        (r"[a-z]+\d", True),  # quadratic: from every place of a word
        (r"(?<![a-z])[a-z]++\d", False),
        (r"x{1,50}y", False),
    ],
)
def test_what_is_superlinear_is_found(scripts: None, pattern: str, is_slow: bool) -> None:
    from bench.data.patterns import Expression, first_slow

    assert bool(first_slow(Expression(re.compile(pattern), ("search",)))) == is_slow
