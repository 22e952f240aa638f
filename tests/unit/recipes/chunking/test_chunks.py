"""Outlines: heading paths, bodies, and passages that keep to them."""

from ray_ft.data.formats import FORMATS
from ray_ft.data.ingest.reading import parse
from ray_ft.recipes.chunking.chunks import clean_title, document_title, make_passages, sections
from ray_ft.rows import Document

TEXT = """Before any heading.

# Guide to `ray`

Intro.

## Install

Type this.

### On Linux

Use pip.

## Use

Call it.
"""


def _document(text: str, path: str = "docs/guide.md") -> Document:
    parsed, _ = parse(text, FORMATS["." + path.rsplit(".", 1)[1]])
    return Document("0:" + path, parsed.text, path, "markdown", "", parsed.blocks, parsed.metadata)


def test_a_section_knows_the_headings_above_it() -> None:
    assert [s.path for s in sections(_document(TEXT))] == [
        ("Guide to ray",),
        ("Guide to ray",),
        ("Guide to ray", "Install"),
        ("Guide to ray", "Install", "On Linux"),
        ("Guide to ray", "Use"),
    ]


def test_a_body_begins_after_its_heading_and_ends_before_the_next() -> None:
    document = _document(TEXT)
    bodies = [document.text[s.body_start : s.end] for s in sections(document)]
    assert bodies == ["Before any heading.", "Intro.", "Type this.", "Use pip.", "Call it."]


def test_a_heading_without_text_is_a_section_without_blocks() -> None:
    found = sections(_document("# A\n\n## B\n\nText.\n"))
    assert [(s.path, len(s.blocks)) for s in found] == [(("A",), 0), (("A", "B"), 1)]


def test_a_document_without_headings_is_titled_by_its_file() -> None:
    document = _document("Only text.\n", "notes/monday.txt")
    assert document_title(document) == "monday.txt"
    assert [s.path for s in sections(document)] == [("monday.txt",)]


def test_front_matter_titles_a_document() -> None:
    assert document_title(_document('---\ntitle: "The Book"\n---\n\n## Part\n\nText.\n')) == "The Book"


def test_titles_lose_their_markup() -> None:
    assert clean_title("The `plan` *verb*, [linked](https://example.org) {#anchor}") == "The plan verb, linked"


def test_small_sections_share_a_passage_under_the_path_they_have_in_common() -> None:
    passages = make_passages(
        _document("# A\n\n" + "Long text. " * 20 + "\n\n## B\n\nShort.\n\n## C\n\nShort too.\n"),
        recipe="passage",
        max_tokens=100,
        count_tokens=lambda text: len(text.split()),
    )
    # 20 x 2 words and the heading's 2 (with its mark) are 42; B and C have 3 and 4 words, below a quarter of 100.
    assert [(p.heading_path, p.num_tokens) for p in passages] == [(("A",), 49)]


def test_sections_of_some_size_stay_apart() -> None:
    body = "word " * 40
    passages = make_passages(
        _document(f"# A\n\n{body}\n\n## B\n\n{body}\n"),
        recipe="passage",
        max_tokens=100,
        count_tokens=lambda text: len(text.split()),
    )
    assert [p.heading_path for p in passages] == [("A",), ("A", "B")]


def test_a_heading_right_above_another_goes_with_what_stands_below_both() -> None:
    words = "The ramp is opened by the mate and closed by the master of the ferry. " * 4
    text = f"# Ferry\n\n{words}\n\n## Ramps\n\n### In the bow\n\n{words}\n"
    parsed, _ = parse(text, FORMATS[".md"])
    one = Document("0:a.md", parsed.text, "a.md", "markdown", blocks=parsed.blocks)
    passages = make_passages(one, recipe="a", max_tokens=70, count_tokens=lambda text: len(text.split()))
    assert [p.text.split("\n")[0] for p in passages] == ["# Ferry", "## Ramps"]
    assert passages[1].heading_path == ("Ferry", "Ramps", "In the bow")


def test_the_rest_of_a_section_that_was_cut_is_not_joined_to_the_next() -> None:
    words = "The ramp is opened by the mate and closed by the master of the ferry."
    text = f"# Ramps\n\n{words}\n\n{words}\n\n{words}\n\nIt rings.\n\n## Cars\n\nThey come at noon.\n"
    parsed = _document(text)
    passages = make_passages(parsed, recipe="a", max_tokens=45, count_tokens=lambda text: len(text.split()))
    # 2 + 3 x 14 words and what parts them are more than 45; the last two have 16; "Cars" has 6, below a quarter of 45.
    assert [p.text.split("\n")[0] for p in passages] == ["# Ramps", words, "## Cars"]
