"""PDF: spaces that stand in no text and are seen as room between letters, and spaces that are drawn over."""

from pdf_files import PdfPage, pdf_file

from ray_ft.data.formats.pdf import parse_pdf

# Helvetica in size 10: a, n, e 5.56 points, y, v 5.00, r 3.33, a space 2.78. So "All of the doors at an" is 91.72 wide
# and "read it with an e" is 70.59.


def text_of(*pages: PdfPage) -> str:
    return parse_pdf(pdf_file(pages)).text


def write_parted(page: PdfPage, *, y: float, door: int = 0) -> None:
    """ "any remaining" as groff writes it: "an", then "yr" with the room of a space after each letter, then the rest.

    y 5.00 + 2.78 + r 3.33 = 11.11 points to where "emaining" begins.
    """
    page.write_pieces(
        [(0, "All of the doors at an", 91.72), (2.78, "yr", 11.11), (0, f"emaining door {door} are shut.", 0)], y=y
    )


def plain(page: PdfPage, rows: int, number: int = 0) -> PdfPage:
    for i in range(rows):
        page.write(f"Line {i} of sheet {number} says which of the doors are closed at night.", y=780 - 12 * i)
    return page


def test_room_between_the_two_letters_of_a_piece_parts_two_words() -> None:
    page = PdfPage()
    for i in range(8):  # some of them are in no sample of lines
        write_parted(page, y=780 - 12 * i, door=i)
    text = text_of(page)
    assert [f"at any remaining door {i} are" in text for i in range(8)] == [True] * 8


def test_pages_before_the_one_that_showed_it_are_mended_as_well() -> None:
    pages = [PdfPage() for _ in range(13)]
    write_parted(pages[5], y=792)  # a page that is not looked at
    write_parted(pages[12], y=792)
    for number, page in enumerate(pages):
        plain(page, 5, number)
    assert text_of(*pages).count("any remaining door") == 2


def test_a_space_that_the_next_letter_is_drawn_over_parts_nothing() -> None:
    page = PdfPage()
    page.write_pieces([(0, "read it with an e", 70.59), (0, "v ", 4.9), (0, "al in this file.", 0)], y=792)
    plain(page, 5)
    assert "with an eval in this file." in text_of(page)


def test_letters_that_are_set_wide_or_close_are_words_all_the_same() -> None:
    page = PdfPage()
    write_parted(page, y=792)  # so that all lines are mended
    plain(page, 5)
    page.write_pieces([(2.5, "Harbours", 0)], y=700)
    page.write_pieces([(0.8, "and the ferries of the north", 0)], y=660)
    page.write_pieces([(-0.4, "AWAY with TAVERNS", 0)], y=620)
    text = text_of(page)
    assert [words in text for words in ("any remaining", "Harbours", "and the ferries of the north")] == [True] * 3
    assert "AWAY with TAVERNS" in text
