"""PDF: what pages hold beside their text, how they are turned and set in columns, and which bold lines are headings."""

from pathlib import Path

import pytest
from pdf_files import PdfPage, pdf_file

from ray_ft.config import DataConfig
from ray_ft.data.formats.pdf import parse_pdf
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.reading import read_file

LEFT = [
    "The pump takes water from", "the lower tank and lifts it", "to the upper tank. It runs", "at night when power is",
    "cheap and stops at six in", "the morning. A float in the", "upper tank stops it early", "when the tank is full.",
]  # fmt: skip
RIGHT = [
    "Service is due every five", "hundred hours. Change the", "oil, look at the seals and", "write the hours into the",
    "book. A worn seal shows as", "a wet ring below the shaft", "and has to be changed on", "the same day.",
]  # fmt: skip


def blocks(*pages: PdfPage) -> list[tuple[str, int, str]]:
    return [(b.type, b.level, b.text) for b in parse_pdf(pdf_file(pages)).blocks]


def filled(page: PdfPage, *, number: int = 0, rows: int = 20, top: float = 750) -> PdfPage:
    """A page of text, each line of which stands once in the document."""
    for i in range(rows):
        page.write(f"Line {i} of sheet {number} says why {'xyz'[i % 3]}{number * 31 + i} is closed.", y=top - 13 * i)
    return page


def is_body(texts: list[str]) -> bool:
    return all(text.startswith("Line 0 of sheet ") for text in texts)


@pytest.mark.parametrize(
    "running",
    [
        [("Page {page} of 8", 30)],
        [("Gauge handbook DOC-4711 Rev. 3", 815), ("Example Ltd. 2024 - page {page}", 30)],
        [("Gauge handbook", 820), ("Part two", 807), ("Internal use only", 794)],
        [("Printed {day}.11.2024 1{page}:3{page} by user {user}", 30)],
        [("{title}", 815), ("{page}", 30)],
        [("{odd}", 815), ("Sheet {page}/8", 25)],
    ],
    ids=["of so many", "a number that stays", "three lines", "times", "titles of chapters", "left and right pages"],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_running_lines_are_left_out_whatever_varies_in_them(running: list[tuple[str, float]], is_first: bool) -> None:
    titles = ["Introduction", "Setting up", "Running", "Service", "Care", "Parts", "Names", "Index of words"]
    pages = []
    for number in range(8):
        page = PdfPage()
        words = {"page": number + 1, "day": number + 10, "user": number * 37, "title": titles[number]}
        lines = [(text.format(odd="Handbook" if number % 2 else "Chapter two", **words), y) for text, y in running]
        if not is_first:
            filled(page, number=number)
        for text, y in lines:  # a producer may draw them before the text
            page.write(text, y=y, size=9)
        pages.append(filled(page, number=number) if is_first else page)
    texts = [text for _, _, text in blocks(*pages)]
    assert len(texts) == 8
    assert is_body(texts)


def test_the_head_and_foot_of_a_manual_page_are_left_out_even_of_a_single_one() -> None:
    for head, is_manual in (("tar(1)   User Commands   tar(1)", True), ("tar(1) and gzip(1)", False)):
        page = PdfPage()
        page.write(head, y=815)
        filled(page, top=740)
        page.write("tar 1.34   May 2024   1", y=30)
        texts = [text for _, _, text in blocks(page)]
        assert (texts[0].startswith("Line 0 of sheet "), "May 2024" not in texts[-1]) == (is_manual, is_manual)


@pytest.mark.parametrize(("y", "size"), [(810, 16), (793, 10)])
def test_a_title_at_the_top_of_each_page_is_its_heading(y: float, size: float) -> None:
    pages = [PdfPage() for _ in range(5)]
    for number, page in enumerate(pages):
        page.write(f"Part {number + 1}", y=y, size=size, is_bold=True)
        filled(page, number=number, rows=8, top=780)
    assert [text for kind, _, text in blocks(*pages) if kind == "heading"] == [f"Part {n}" for n in range(1, 6)]


@pytest.mark.parametrize(("words", "degrees", "size"), [("DRAFT", 45, 60), ("SECRET", 0, 48), ("Confidential", 0, 10)])
def test_watermarks_are_no_text(words: str, degrees: float, size: float) -> None:
    pages = [PdfPage() for _ in range(4)]
    for number, page in enumerate(pages):
        page.write(words, x=150, y=330, size=size, degrees=degrees)
        filled(page, number=number)
    texts = [text for _, _, text in blocks(*pages)]
    assert len(texts) == 4
    assert is_body(texts)


@pytest.mark.parametrize("leader", [" " + "." * 30, " " + ". " * 12, ""])
def test_a_table_of_contents_is_no_text(leader: str) -> None:
    contents, chapter = PdfPage(), PdfPage()
    contents.write("Contents", y=800, size=16)
    for i in range(8):
        contents.write(f"{i + 1} What there is to say about valves{leader} {3 * i + 1}", y=760 - 13 * i)
    chapter.write("1 What there is to say", y=800, size=16)
    filled(chapter)
    assert [(kind, text[:16]) for kind, _, text in blocks(contents, chapter)] == [
        ("heading", "1 What there is "), ("paragraph", "Line 0 of sheet "),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("degrees", "x", "y", "step", "rotation"),
    [
        (90, 100, 50, (13, 0), 90), (90, 100, 50, (13, 0), 0), (270, 500, 800, (-13, 0), 270),
        (270, 500, 800, (-13, 0), 0), (180, 550, 100, (0, 13), 180), (180, 550, 100, (0, 13), 0),
    ],
)  # fmt: skip
def test_turned_pages_are_read_as_upright_ones(
    degrees: float, x: float, y: float, step: tuple[int, int], rotation: int
) -> None:
    page = PdfPage(rotation=rotation)
    page.write("Pump handbook", x=x, y=y, size=18, degrees=degrees)
    for i, words in enumerate(LEFT, start=2):
        page.write(words, x=x + i * step[0], y=y + i * step[1], degrees=degrees)
    assert blocks(page) == [("heading", 1, "Pump handbook"), ("paragraph", 0, " ".join(LEFT))]


@pytest.mark.parametrize("gutter", [200, 330])
@pytest.mark.parametrize("by_rows", [True, False])
def test_columns_are_read_one_behind_the_other(gutter: float, by_rows: bool) -> None:
    page = PdfPage()
    page.write("Pump handbook", y=800, size=18)
    places = [(words, 50, i) for i, words in enumerate(LEFT)] + [(words, gutter, i) for i, words in enumerate(RIGHT)]
    for words, x, i in sorted(places, key=lambda place: place[2]) if by_rows else places:
        page.write(words, x=x, y=760 - 13 * i)
    page.write("This line goes over the whole width of the page and stands below both columns of it.", y=630)
    assert [text for _, _, text in blocks(page)][:3] == ["Pump handbook", " ".join(LEFT), " ".join(RIGHT)]


def test_three_columns_and_one_that_ends_early() -> None:
    page = PdfPage()
    for i in range(8):
        page.write(LEFT[i], y=760 - 13 * i)
        page.write(RIGHT[i], x=210, y=760 - 13 * i)
        if i < 5:
            page.write(LEFT[i], x=380, y=760 - 13 * i)
    assert [text for _, _, text in blocks(page)] == [" ".join(LEFT), " ".join(RIGHT), " ".join(LEFT[:5])]


def test_a_table_without_lines_keeps_its_rows() -> None:
    page = PdfPage()
    for i in range(10):
        page.write(f"Pump number {i}", y=760 - 13 * i)
        page.write(f"{i} litres a minute", x=300, y=760 - 13 * i)
    ((_, _, text),) = blocks(page)
    assert text.startswith("Pump number 0 0 litres a minute Pump number 1 1 litres")


def paragraph(page: PdfPage, y: float, rows: int = 3) -> float:
    for i in range(rows):
        page.write(f"The valve number {i} is closed before the pump is started by the mate of the hall.", y=y - 13 * i)
    return y - 13 * rows - 10


def test_bold_lines_above_text_are_headings_and_bold_words_sentences_and_list_numbers_are_none() -> None:
    page = PdfPage()
    page.write("Pump manual", y=800, size=18)
    y = 770.0
    for words in ("1 Before you start", "1.1 Tools", "Safety", "Never open the valve while the pump turns."):
        page.write(words, y=y, is_bold=True)
        y = paragraph(page, y - 13)
    page.write("0. The return value is not zero when the ", y=y)
    page.write("restart command", x=230, y=y, is_bold=True)
    page.write(" was called", x=310, y=y)
    y = paragraph(page, y - 13)
    page.write("2. Close the valve and wait", y=y)
    assert [(level, text) for kind, level, text in blocks(page) if kind == "heading"] == [
        (1, "Pump manual"), (2, "1 Before you start"), (3, "1.1 Tools"), (2, "Safety"),
    ]  # fmt: skip


def test_bold_says_nothing_where_most_is_bold_and_one_width_nothing_where_all_has_it() -> None:
    for style in ({"is_bold": True}, {"is_mono": True}):
        page = PdfPage()
        for i in range(20):
            page.write(
                f"The valve {i} is closed before the pump is started.", y=800 - (13 * i + 10 * (i // 5)), **style
            )
        assert {kind for kind, _, _ in blocks(page)} == {"paragraph"}


def test_bold_titles_a_little_larger_than_the_text_are_headings() -> None:
    page = PdfPage()
    y = 800.0
    for words in ("NAME", "SYNOPSIS"):
        page.write(words, y=y, size=11, is_bold=True)
        y = paragraph(page, y - 14)
    assert [(kind, level) for kind, level, _ in blocks(page)] == [("heading", 1), ("paragraph", 0)] * 2


def test_listings_keep_their_lines_and_indentation() -> None:
    page = PdfPage()
    page.write("The program below reads the hours from the counter of the pump in the hall.", y=800)
    code = ["def read_hours(port):", "    with open(port) as f:", "        return int(f.read())", "", "{", "}"]
    for i, row in enumerate(code):
        page.write(row.strip(), x=60 + 6 * (len(row) - len(row.lstrip())), y=775 - 12 * i, is_mono=True)
    page.write("The function gives nothing when the counter is not connected to the pump.", y=680)
    assert blocks(page)[1] == ("code", 0, "\n".join(code))


def test_pages_that_are_pictures_are_counted_and_told(tmp_path: Path) -> None:
    title = PdfPage()
    title.write("Report", y=500, size=20)
    pages = [title, filled(PdfPage()), filled(PdfPage(), number=1), *(PdfPage(has_image=True) for _ in range(3))]
    (tmp_path / "a.pdf").write_bytes(pdf_file(pages))
    (file,) = list_files(DataConfig(sources=(str(tmp_path),), recipes=()))
    read = read_file(file)
    assert (read.status, read.note) == ("ok", "3 of 6 pages need OCR")
    assert read.document is not None
    assert read.document.metadata["need_ocr"] == "3"


def test_bold_titles_with_a_number_below_the_text_are_running_lines() -> None:
    titles = ["Introduction", "Setting up", "Running", "Service", "Care", "Parts", "Names", "Index of words"]
    pages = []
    for number, title in enumerate(titles):
        page = filled(PdfPage(), number=number)
        words = f"2.{number}. {title} {number + 1}" if number % 2 else f"{number + 1} Chapter 2. Pumps"
        page.write(words, y=30, size=10, is_bold=True)
        pages.append(page)
    texts = [text for _, _, text in blocks(*pages)]
    assert len(texts) == 8
    assert is_body(texts)
