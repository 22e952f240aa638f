"""Cutting spans: exact, within the budget, at the coarsest boundary that does it."""

import itertools
import random

from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.recipes import Heading, Paragraph
from ray_ft.recipes.chunking.chunks import make_passages
from ray_ft.recipes.chunking.pieces import CODE, PROSE, split_span
from ray_ft.rows import Document


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


def _count_words(text: str) -> int:
    return len(text.split())


def _document(text: str) -> Document:
    parsed = parse_markdown(text)
    return Document("0:a.md", parsed.text, "a.md", "markdown", blocks=parsed.blocks)


TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"
FENCE = "```python\nx = 1\n\ny = 2\n```"


def test_tables_and_code_blocks_stay_whole_where_they_fit() -> None:
    text = f"# A\n\n{'word ' * 12}\n\n{FENCE}\n\n{TABLE}\n\n{'more ' * 12}"
    chunks = make_passages(_document(text), recipe="p", max_tokens=22, count_tokens=_count_words)
    # The fence has 8 words and a blank line, the table 21 with its marks; neither is cut, though 22 are soon full.
    assert all(c.num_tokens <= 22 for c in chunks)
    assert sum(FENCE in c.text for c in chunks) == 1
    assert sum(TABLE in c.text for c in chunks) == 1


def test_a_table_that_does_not_fit_is_cut_between_its_rows() -> None:
    text = "# A\n\n| a | b |\n|---|---|\n" + "\n".join(f"| {i} | {i} |" for i in range(20))
    chunks = make_passages(_document(text), recipe="p", max_tokens=20, count_tokens=_count_words)
    assert len(chunks) > 3
    assert all(c.text.rstrip().endswith("|") for c in chunks)


def test_passages_overlap_by_what_they_say_and_no_more_than_was_asked() -> None:
    text = "# A\n\n" + " ".join(f"Sentence {i} has five words." for i in range(30)) + "\n\n# B\n\nAnother section.\n"
    document = _document(text)
    chunks = make_passages(document, recipe="p", max_tokens=30, count_tokens=_count_words, overlap_tokens=10)
    cut = [c for c in chunks if c.heading_path == ("A",)]
    assert len(cut) > 5
    assert "overlap" not in cut[0].metadata
    for before, after in itertools.pairwise(cut):
        shared = document.text[after.start : before.end]
        assert int(after.metadata["overlap"]) == len(shared) == before.end - after.start
        assert before.text.endswith(shared)
        assert after.text.startswith(shared)
        assert 0 < _count_words(shared) <= 10  # whole sentences: two of five words
        assert _count_words(shared) == 10
    assert all(c.num_tokens == _count_words(c.text) <= 30 for c in chunks)
    assert "overlap" not in chunks[-1].metadata


def test_the_parts_of_one_section_overlap_too() -> None:
    text = "# A\n\n" + " ".join(f"Sentence {i} has five words." for i in range(30)) + "\n"
    document = _document(text)
    recipe = Heading(max_chunk_tokens=30, overlap_tokens=5)
    chunks = recipe.chunk(document, _count_words)
    assert [c.metadata["part"] for c in chunks] == [str(i) for i in range(1, len(chunks) + 1)]
    for before, after in itertools.pairwise(chunks):
        assert before.end - after.start == int(after.metadata["overlap"]) > 0
        assert after.num_tokens <= 30


def test_without_overlap_every_character_is_in_one_chunk() -> None:
    text = "# A\n\n" + " ".join(f"Sentence {i} has five words." for i in range(30)) + f"\n\n{FENCE}\n\n{TABLE}\n"
    chunks = make_passages(_document(text), recipe="p", max_tokens=16, count_tokens=_count_words)
    assert "".join("".join(c.text for c in chunks).split()) == "".join(text.split())


def test_a_passage_may_begin_with_its_headings() -> None:
    document = _document("# Ferry\n\n## Ramp\n\nOpen it before the cars arrive at the pier.\n")
    plain, titled = Paragraph(), Paragraph(with_headings=True)
    chunks = plain.chunk(document, _count_words)
    assert titled.examples(chunks, None)[0].completion == f"{' > '.join(chunks[0].heading_path)}\n\n{chunks[0].text}"
    assert plain.examples(chunks, None)[0].completion == chunks[0].text


def test_what_leads_in_the_next_piece_goes_with_it() -> None:
    # 35 + 2 + 8 + 2 + 30 = 77 bytes: the term fits behind the first paragraph, and names the second.
    text = "The shell knows several variables.\n\nEXECNAME\n\nPatterns of names to be ignored."
    assert _texts(text, 60) == ["The shell knows several variables.", "EXECNAME\n\nPatterns of names to be ignored."]
    text = "Some words stand above it.\n\nThe options are:\n\n- `-a` shows all\n- `-b` shows more"
    assert _texts(text, 56)[0] == "Some words stand above it."


def test_a_name_in_a_list_of_names_leads_in_nothing() -> None:
    assert _texts("Aaa\n\nBbb\n\nCcc", 9) == ["Aaa\n\nBbb", "Ccc"]


def test_a_wrapped_paragraph_is_cut_at_its_sentences_and_a_table_at_its_rows() -> None:
    line = "words of a sentence that stand one after the other on a line as long"
    text = f"First {line}\n{line}\n{line}. Then {line}\n{line}."
    assert _texts(text, 240)[0].endswith("as long.")
    rows = "\n".join(f"{i} | A cell says this. And that, which is a sentence longer than most | {i}" for i in range(5))
    assert all(piece[0].isdigit() and piece[-1].isdigit() for piece in _texts(rows, 170))


def test_a_long_list_is_cut_between_its_items() -> None:
    items = [f"- item {i} says something\n  that goes on below." for i in range(4)]
    assert _texts("\n".join(items), 100) == ["\n".join(items[:2]), "\n".join(items[2:])]
