"""Contents of plain texts, which are no text and whose entries are no headings."""

from ray_ft.data.formats.text import parse_text

BOOK = """\
Tides of the bay

Table of Contents

   1. Ebb
        1.1. /low : What is seen then, which is
                more than in winter
   2. Flood
   A. Tables

Chapter 1. Ebb

   The water goes for six hours.

1.1. /low : What is seen then

   Sand and stones, for two hours.

Chapter 2. Flood

   The water comes back.
"""


def test_contents_are_no_text_and_lines_keep_their_numbers() -> None:
    parsed = parse_text(BOOK)
    assert "Tables" not in parsed.text
    assert parsed.text.count("\n") == BOOK.count("\n")
    headings = [(b.level, b.text) for b in parsed.blocks if b.type == "heading"]
    assert headings == [(1, "Chapter 1. Ebb"), (2, "1.1. /low : What is seen then"), (1, "Chapter 2. Flood")]


def test_contents_end_where_the_first_title_comes_again() -> None:
    text = "CONTENTS\n\n1. Ebb\n2. Flood\n3. Wind\n4. Fog\n\n1. Ebb\n\nThe water goes.\n\n2. Flood\n\nIt comes back.\n"
    assert [b.text for b in parse_text(text).blocks if b.type != "heading"] == ["The water goes.", "It comes back."]


def test_dots_and_pages_make_contents_and_few_lines_do_not() -> None:
    dotted = "Contents\n\n" + "".join(f"{name} ........ {i}\n" for i, name in enumerate("abcd")) + "\nText of it.\n"
    assert parse_text(dotted).text.split() == ["Text", "of", "it."]
    few = "Contents\n\n1. One bottle\n2. Two glasses\n\nOf the box.\n"
    assert parse_text(few).text == few
