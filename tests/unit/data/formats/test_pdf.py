"""PDF: headings by size and outline, paragraphs, tables in their place, and what stands on every page."""

import pytest
from pdf_files import PdfPage, manual, pdf_file

from ray_ft.data.formats.base import Parsed, Unreadable
from ray_ft.data.formats.pdf import parse_pdf
from ray_ft.data.formats.pdf.layout import Line, Page, blocks_of


def _outline(parsed: Parsed) -> list[tuple[str, int, int, str]]:
    return [(b.type, b.level, b.page, b.text) for b in parsed.blocks]


def test_headings_are_told_by_size_and_paragraphs_by_distance() -> None:
    page = PdfPage()
    page.write("Ferry manual", y=800, size=20)
    page.write("Opening the ramp", y=760, size=14)
    page.write("Press the green button and wait until the lamp of the har-", y=740)
    page.write("bour control is lit.", y=727)
    page.write("Then report to the bridge by radio, on channel sixteen.", y=700)
    page.write("- one: the doors of the car deck are closed", y=670)
    page.write("- two: the lamp is green", y=657)
    assert _outline(parse_pdf(pdf_file([page]))) == [
        ("heading", 1, 1, "Ferry manual"),
        ("heading", 2, 1, "Opening the ramp"),
        ("paragraph", 0, 1, "Press the green button and wait until the lamp of the harbour control is lit."),
        ("paragraph", 0, 1, "Then report to the bridge by radio, on channel sixteen."),
        ("list", 0, 1, "- one: the doors of the car deck are closed\n- two: the lamp is green"),
    ]


def test_bookmarks_make_headings_of_text_in_the_usual_size() -> None:
    page = PdfPage()
    page.write("Doors", y=800)
    page.write("They are closed before the ferry leaves, and opened in the harbour.", y=770)
    parsed = parse_pdf(pdf_file([page], outline=[("Doors", 0)]))
    assert _outline(parsed)[0] == ("heading", 1, 1, "Doors")


def test_a_ruled_table_stands_as_rows_where_it_stood() -> None:
    page = PdfPage()
    page.write("The routes of the company and how long they take in minutes:", y=800)
    page.lines = [(50, y, 250, y) for y in (780.0, 760.0, 740.0)] + [(x, 740, x, 780) for x in (50.0, 150.0, 250.0)]
    for y, cells in ((766, ("Route", "Minutes")), (746, ("North", "40"))):
        for x, words in zip((55, 155), cells, strict=True):
            page.write(words, x=x, y=y)
    page.write("They are the same in summer and in winter, on all days.", y=700)
    assert _outline(parse_pdf(pdf_file([page]))) == [
        ("paragraph", 0, 1, "The routes of the company and how long they take in minutes:"),
        ("table", 0, 1, "Route | Minutes\nNorth | 40"),
        ("paragraph", 0, 1, "They are the same in summer and in winter, on all days."),
    ]


def test_a_page_full_of_lines_is_a_drawing_and_no_table() -> None:
    page = PdfPage(lines=[(50, 50 + i / 2, 500, 50 + i / 2) for i in range(1000)])
    page.write("A drawing of the harbour, seen from the north side of the bay.", y=820)
    assert [b.type for b in parse_pdf(pdf_file([page])).blocks] == ["paragraph"]


def test_headers_footers_and_page_numbers_are_left_out() -> None:
    pages = []
    for number in range(5):
        page = PdfPage()
        page.write("Ferry Company, internal", y=820)
        for i, what in enumerate(("ramp", "door", "lamp")):
            page.write(f"This is what page {number} has to say about the {what} of the ship.", y=600 - 40 * i)
        page.write(f"- {number + 1} -", y=20)
        pages.append(page)
    assert [b.text for b in parse_pdf(pdf_file(pages)).blocks] == [
        f"This is what page {number} has to say about the {what} of the ship."
        for number in range(5)
        for what in ("ramp", "door", "lamp")
    ]


def test_spans_and_pages_of_a_long_document_are_exact() -> None:
    parsed = parse_pdf(manual(60))
    assert parsed.metadata["pages"] == "60"
    assert [b.page for b in parsed.blocks if b.type == "heading"] == list(range(1, 61))
    assert all(b.text == parsed.text[b.start : b.end] for b in parsed.blocks)


def test_lines_of_unknown_size_make_no_headings() -> None:
    lines = tuple(Line(f"words of line {i}", 0.0, False, 0.0, -1.0 * i, 1.0 - i) for i in range(6))
    _, blocks = blocks_of([Page(1, 0.0, lines, (), 0)], [])
    assert {b.type for b in blocks} == {"paragraph"}


@pytest.mark.parametrize(("has_image", "reason"), [(True, "needs OCR"), (False, "")])
def test_pictures_of_text_need_ocr_and_few_words_alone_do_not(has_image: bool, reason: str) -> None:
    page = PdfPage(has_image=has_image)
    page.write("Scan 1", y=800)
    data = pdf_file([page])
    if reason:
        with pytest.raises(Unreadable, match=reason):
            parse_pdf(data)
    else:
        assert parse_pdf(data).text == "Scan 1\n"
