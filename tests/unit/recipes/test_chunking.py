"""Cutting spans: exact, within the budget, at the coarsest boundary that does it."""

import itertools
import random

from ray_ft.recipes.chunking import CODE, PROSE, split_span


def _count_bytes(text: str) -> int:
    """The hardest tokenizer: one token a byte."""
    return len(text.encode())


def _texts(text: str, max_tokens: int, boundaries=PROSE) -> list[str]:
    pieces = split_span(text, 0, len(text), max_tokens=max_tokens, count_tokens=_count_bytes, boundaries=boundaries)
    return [text[start:end] for start, end, _ in pieces]


def test_a_text_that_fits_is_one_piece_without_blank_edges() -> None:
    assert _texts("\n\n  Hello there.\n\n", 100) == ["  Hello there."]


def test_paragraphs_are_cut_before_sentences() -> None:
    # 11 + 2 + 11 bytes do not fit 20, each paragraph alone does.
    assert _texts("One is one.\n\nTwo is two.", 20) == ["One is one.", "Two is two."]


def test_neighbours_are_joined_while_they_fit() -> None:
    # Pieces of 4 bytes: "aaaa", "bbbb", "cccc". Two and their separator are 4 + 2 + 4 = 10.
    assert _texts("aaaa\n\nbbbb\n\ncccc", 10) == ["aaaa\n\nbbbb", "cccc"]


def test_a_long_paragraph_is_cut_at_sentences() -> None:
    assert _texts("First sentence. Second sentence.", 18) == ["First sentence.", "Second sentence."]


def test_one_long_word_is_cut_between_characters_never_inside_one() -> None:
    # "é" is two bytes, so a budget of 5 holds two of them at most.
    pieces = _texts("é" * 5, 5)
    assert "".join(pieces) == "é" * 5
    assert all(1 <= len(piece) <= 2 for piece in pieces)


def test_code_is_cut_between_statements_and_keeps_its_indentation() -> None:
    text = "def f():\n    a = 1\n    b = 2\n\n\ndef g():\n    return 3\n"
    assert _texts(text, 32, CODE) == ["def f():\n    a = 1\n    b = 2", "def g():\n    return 3"]
    assert _texts(text, 12, CODE)[1] == "    a = 1"


def test_any_text_is_kept_whole_but_for_white_space() -> None:
    rng = random.Random(0)
    alphabet = ["a", "Zürich", "強風", " ", "  ", "\n", "\n\n", ". ", "!", "\t", "🚢", "- x"]
    for _ in range(200):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 120)))
        max_tokens = rng.randrange(4, 40)
        for boundaries in (PROSE, CODE):
            pieces = split_span(
                text, 0, len(text), max_tokens=max_tokens, count_tokens=_count_bytes, boundaries=boundaries
            )
            assert all(n == _count_bytes(text[a:b]) <= max_tokens for a, b, n in pieces)
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(pieces))
            assert "".join("".join(text[a:b] for a, b, _ in pieces).split()) == "".join(text.split())
